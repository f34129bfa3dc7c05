// Package sources reads groups from where they live: files, HTTP servers and the output of commands. A source gives objects, each with
// addresses and labels; the categories of the source, see [categories.Source], make groups of the labels.
//
// Formats are told apart by what is read:
//
//   - CSV with a header: a row is an object, a column a label;
//   - JSON, a list of objects, or an object with one list in it: fields are labels, those of inner objects with dots between (a.b);
//   - service discovery of Prometheus over HTTP: targets and labels;
//   - the inventory of ansible-inventory --list: label group has every group of a host, other labels are its variables;
//   - lists of Kubernetes, as kubectl get -o json writes them: pods with namespace, node, their labels (label:app) and owner (owner).
//
// What a source holds is data from elsewhere. A name that a groups file could not have is a problem that is told, and makes no group.
package sources
