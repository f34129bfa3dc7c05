// Package cells is what a recommendation counts, as plain data: sessions of a VRF between two endpoints with one service are a cell;
// its parts are those sessions that everything treats alike. What becomes of cells is decided by package decide.
package cells
