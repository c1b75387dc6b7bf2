// A conversation is a tree: editing or retrying adds a branch and keeps the
// old one. A message knows its parent by number; -1 is the root.

export interface Node {
  n: number;
  parent: number;
}

export class Tree<T extends Node> {
  readonly nodes = new Map<number, T>();
  private children = new Map<number, number[]>();

  add(node: T): void {
    const known = this.nodes.has(node.n);
    this.nodes.set(node.n, node);
    if (known) return;
    const siblings = this.children.get(node.parent);
    if (siblings) siblings.push(node.n);
    else this.children.set(node.parent, [node.n]);
  }

  get(n: number): T | undefined {
    return this.nodes.get(n);
  }

  // From the root to `leaf`.
  path(leaf: number): T[] {
    const out: T[] = [];
    let node = this.nodes.get(leaf);
    while (node && out.length <= this.nodes.size) {
      out.push(node);
      node = this.nodes.get(node.parent);
    }
    return out.reverse();
  }

  siblings(n: number): number[] {
    const node = this.nodes.get(n);
    return node ? (this.children.get(node.parent) ?? [n]) : [];
  }

  // The newest message below `n`, or `n`.
  leafBelow(n: number): number {
    let at = n;
    for (;;) {
      const below = this.children.get(at);
      if (!below || below.length === 0) return at;
      at = below[below.length - 1]!;
    }
  }

  get size(): number {
    return this.nodes.size;
  }
}
