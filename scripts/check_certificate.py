#!/usr/bin/env python3
"""usage: check_certificate.py PROPOSAL.json

Proves the lower bound of a policy proposal by its certificate, which docs/proposal.md describes. It takes for granted that the rules hold every
cell that may be permitted; cordon verify checks that against the sessions. It fails if the proposal claims more than it can prove."""
import functools, ipaddress, itertools, json, re, sys
from collections import Counter

doc = json.load(open(sys.argv[1]))
cell = lambda c: (c["source"], c["destination"], c["service"])

@functools.cache
def end_in(end, of):
    """Whether an endpoint is one of a rule's: by name, or as an address inside a prefix."""
    if end == of or of == "any":
        return True
    if not (end.startswith("ip:") and of.startswith("ip:")):
        return False
    a, b = ipaddress.ip_network(end[3:]), ipaddress.ip_network(of[3:])
    return a.version == b.version and a.subnet_of(b)

@functools.cache
def service_in(service, of):
    """Whether a service is one of a rule's: the same, or inside a range of ports."""
    a, b = (re.fullmatch(r"(\w+)/(\d+)(?:-(\d+))?", s) for s in (service, of))
    if service == of or not (a and b):
        return service == of
    (p, lo, hi), (q, low, high) = a.groups(), b.groups()
    return p == q and int(low) <= int(lo) and int(hi or lo) <= int(high or low)

@functools.cache
def legal(source, destination, service):
    ends = ((end_in, source, "sources"), (end_in, destination, "destinations"), (service_in, service, "services"))
    return any(all(any(test(what, of) for of in r[key]) for test, what, key in ends) for r in doc["rules"])

def fit(a, b):
    """Whether one rule may hold both cells: then it holds the smallest box around them."""
    return all(legal(*c) for c in itertools.product(*zip(a, b)))

def bits(mask):
    while mask:
        yield (mask & -mask).bit_length() - 1
        mask &= mask - 1

def walk(cells, accept):
    """Whether accept says yes to sets of cells (bit masks) such that the cells of every legal box lie in one of them."""
    names = [sorted({c[m] for c in cells}) for m in range(3)]
    holders = [{x: sum(1 << i for i, c in enumerate(cells) if c[m] == x) for x in names[m]} for m in range(3)]
    beside = [{x: sum(1 << i for i, c in enumerate(cells) if legal(*c[:m], x, *c[m + 1:])) for x in names[m]} for m in range(3)]
    never = {(s, d): frozenset(v for v in names[2] if not legal(s, d, v)) for s in names[0] for d in names[1]}
    def descend(first, mask, own):  # own: indices, with their modes, that the box has
        if not mask >> first & 1 or any(not mask & holders[m][x] for m, x in own) or accept(first, mask):
            return True
        sources, dests, services = ([x for x in names[m] if mask & holders[m][x]] for m in range(3))
        wrong = next(((s, d, v) for s in sources for d in dests if never[s, d] for v in services if v in never[s, d]), None)
        for index in enumerate(wrong or ()):  # the box lacks one of the three
            if index not in own:
                m, x = index
                if not descend(first, mask & ~holders[m][x], own):
                    return False
                mask, own = mask & beside[m][x], own | {index}
        return wrong is not None  # a box without such a cell is legal
    def box(first):
        own = set(enumerate(cells[first]))
        return descend(first, functools.reduce(int.__and__, (beside[m][x] for m, x in own), -1 << first), own)
    return all(box(first) for first in range(len(cells)))

class Tree:
    """Reads the lines of a search that fails."""
    def __init__(self, boxes, lines):
        self.boxes, self.lines, self.next = boxes, lines, 0
        self.around = [[j for j, b in enumerate(boxes) if b >> i & 1] for i in range(max(boxes).bit_length())]
    def refute(self, rows, opened, left):
        """Reads to the end of the case; whether no `left` of the open boxes hold all rows."""
        opened, done = set(opened), False
        while True:
            held = functools.reduce(int.__or__, (self.boxes[j] for j in opened), 0)
            done = done or bool(rows & ~held) or (left <= 0 and rows != 0)
            if self.next == len(self.lines) or self.lines[self.next] == "end":
                return done
            word, *rest = self.lines[self.next].split()
            self.next += 1
            if word == "skip":
                rows &= ~sum(1 << int(i) for i in set(rest))
            elif word == "drop":
                for j, by in zip(map(int, rest[::2]), map(int, rest[1::2])):
                    assert j != by and by in opened and not self.boxes[j] & rows & ~self.boxes[by], (j, by)
                    opened.discard(j)
            elif word == "price":
                done = self.price(rest, rows, opened, left) or done
            elif word == "reach":
                gains = sorted(((self.boxes[j] & rows).bit_count() for j in opened), reverse=True)
                done = done or sum(gains[: max(left, 0)]) < rows.bit_count()
            elif word == "take":
                opened.remove(int(rest[0]))
                self.case(rows & ~self.boxes[int(rest[0])], opened, left - 1, done)
            elif word == "part":
                self.next -= 1
                done = self.parts(rows, opened, done) > left or done
    def case(self, rows, opened, left, done):
        assert self.refute(rows, opened, left) or done, f"the case that ends in line {self.next + 1} is open"
        self.next += 1
    def parts(self, rows, opened, done):
        total, apart = 0, []
        while self.next < len(self.lines) and self.lines[self.next].startswith("part "):
            need, *list_ = map(int, self.lines[self.next].split()[1:])
            self.next += 1
            part = sum(1 << i for i in set(list_))
            assert not part & ~rows and not any(part & p or any(self.boxes[j] & part and self.boxes[j] & p for j in opened) for p in apart)
            apart.append(part)
            self.case(part, opened, need - 1, done)
            total += need
        return total
    def price(self, words, rows, opened, left):
        scale = int(words[0])
        prices = [(sum(1 << int(i) for i in set(names.split(","))), int(y)) for names, y in (w.split(":") for w in words[1:])]
        assert scale > 0 and all(y >= 0 and not p & ~rows and p.bit_count() in (1, 3) for p, y in prices)
        cost = dict.fromkeys(opened, scale)
        for p, y in prices:  # a box pays once for one or two of three rows, and twice for all
            for j, n in Counter(j for i in bits(p) for j in self.around[i] if j in opened).items():
                cost[j] -= y * ((n + 1) // 2)
        bound = sum(y * ((p.bit_count() + 1) // 2) for p, y in prices) + sum(min(c, 0) for c in cost.values())
        opened -= {j for j, c in cost.items() if c > 0 and bound + c > left * scale}
        return bound > left * scale

def proved(part):
    cells = [cell(c) for c in part["cells"]]
    assert len(set(cells)) == len(cells) and all(legal(*c) for c in cells)
    if part["method"] == "fooling-set":
        assert part["bound"] == len(cells) and not any(fit(a, b) for a, b in itertools.combinations(cells, 2))
    elif part["method"] == "dual":
        weights, scale = part["weights"], part["scale"]
        assert -(-sum(weights) // scale) == part["bound"] and walk(cells, lambda _, mask: sum(max(0, weights[i]) for i in bits(mask)) <= scale)
    elif part["method"] == "exhaustive":  # each cell is in boxes of its own, so cells are rows
        boxes = [sum(1 << int(i) for i in b.split()) for b in part["boxes"]]
        assert len({tuple(b >> i & 1 for b in boxes) for i in range(len(cells))}) == len(cells)
        assert walk(cells, lambda first, mask: any(not mask & ~b for b in boxes if b >> first & 1))
        tree = Tree(boxes, part["tree"])
        assert tree.refute((1 << len(cells)) - 1, range(len(boxes)), part["bound"] - 1) and tree.next == len(tree.lines)
    else:
        sys.exit(f"method {part['method']} is not one that this program knows")
    return part["bound"]

sys.setrecursionlimit(100_000)
parts = doc["certificate"].get("parts") or [{"method": "fooling-set", "bound": len(doc["certificate"]["witness"]), "cells": doc["certificate"]["witness"]}]
for one, other in itertools.combinations(parts, 2):
    assert not any(fit(cell(a), cell(b)) for a in one["cells"] for b in other["cells"])
bound = sum(proved(p) for p in parts)
print(f"{len(doc['rules'])} rules, at least {bound} are needed: proved")
sys.exit(bound < doc["certificate"]["lowerBound"])
