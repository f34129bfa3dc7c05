-- +goose NO TRANSACTION
-- +goose Up

-- A group of batches is a part of up to 26 MB before compression, for which
-- ClickHouse would make two files a column. Making seventy files took a quarter
-- of the insert, and more than all the rest of it on a disk where files come
-- and go. So a group is one file; what merges make of several full groups has
-- files for each column again.
ALTER TABLE {{local "sessions_hourly"}} {{onCluster}} MODIFY SETTING min_bytes_for_wide_part = 33554432;

-- Since sides is taken of records for both directions, too.
ALTER TABLE {{local "sessions_hourly"}} {{onCluster}} COMMENT COLUMN sides 'whose packets the exporter has shown: 1 the client''s, 2 the server''s';
