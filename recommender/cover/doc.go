// Package cover finds the fewest boxes that cover the ones of a sparse three-mode 0/1 tensor, and proves how few they can be.
package cover
