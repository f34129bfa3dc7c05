// Package categories knows the groups of a network and the names of its
// services: which addresses make up a group, which group an address belongs to
// under the categories that a person selected, what a service is called, and
// which addresses are public, private or local to a link.
//
// # The groups file
//
// YAML with the keys categories, services and exclude, or CSV with the header
// category,group,prefix (columns in any order, other columns ignored, lines that
// begin with '#' skipped). A bare address means /32 or /128. IPv4-mapped IPv6 is
// read as IPv4. A prefix with bits set behind its length is masked, and Lint says
// so. In CSV the rows of one group add up wherever they stand; in YAML a
// category, a group inside its category, and a service may be named only once.
// Aliases (*name) work; merge keys (<<) do not. In exclude, sources and
// destinations hold prefixes or group:NAME, services hold names from the file or
// terms such as tcp/443; a list that is left out holds everything.
//
// # Names of groups in results
//
// A group is written group:NAME. Where two categories of the file have a group
// of one name, these groups are written group:CATEGORY/NAME, and that form is
// read for every group. The rule looks at the whole file and not at the selected
// categories, so the same file gives the same names in every proposal. A
// category's name therefore has no slash. See Labels.
//
// # Resolution
//
// The first selected category with a group that contains the address wins;
// inside it the longest prefix wins, then the group's name in byte order.
// Resolver answers for one address; Flatten gives the same answers to a
// longest-match table elsewhere.
package categories
