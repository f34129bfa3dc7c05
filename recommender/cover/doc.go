// Package cover finds the fewest boxes that cover the ones of a sparse three-mode 0/1 tensor, and proves how few they can be.
//
// # Words
//
// A cell is a position of the tensor. A one is a cell that has to be covered, a don't-care cell one that may be; every other cell is
// forbidden. A box is the product of one set of indices for each mode. A box is legal if it holds no forbidden cell, and a prime (or maximal
// box) if no legal box holds it and more. An entry is an allowed cell inside the solver. In the covering matrix a row is a one, a
// column a prime. A reduction keeps the fewest boxes as they are; what no reduction changes any more is the cyclic core. A fooling set is ones of
// which no two lie in one legal box. A part is some ones with a lower bound of their own: no legal box holds ones of two parts, so the bounds
// add up. A share is how much of the ones' weight has to be covered, where not all has to.
//
// # Files, in the order in which a problem passes through them
//
//   - problem.go, solution.go: what goes in and what comes out. solve.go lists the passes of Solve, partial.go those of SolvePartial.
//   - tensor.go, bitset.go: the sparse tensor with its fibers; sets of small numbers.
//   - reduce.go, merge.go, lift.go: reductions on the tensor (unused and identical slices, dominated ones, essential boxes), and the way back.
//   - core.go: what is left, component by component: list the primes, make the matrix, solve it; sparse.go where there are too many primes.
//   - primes.go, grow.go: all primes around some cells; one prime around a box.
//   - matrix.go: the covering matrix, its cyclic core and its components.
//   - localsearch.go, picker.go: good covers quickly, of all rows and of a share. random.go gives them the same choices every time.
//   - fooling.go, independent.go: fooling sets.
//   - lagrange.go, ascent.go, cuts.go, knapsack.go: the Lagrangian relaxation and how its multipliers move, cuts that sharpen it, and what a share may
//     leave out.
//   - branch.go, branch_share.go: branch and bound, with nodes for covers and for shares. record.go writes down why a search failed.
//   - partial_rows.go: the rows of a share.
//   - literals.go: of covers with equally few boxes, one that takes few words to write.
//   - meter.go, progress.go: work is bounded in steps, never in time, and reported.
//   - greedy.go: plain merging, which others do, to compare with.
//
// Package check verifies solutions and uses none of this code.
package cover
