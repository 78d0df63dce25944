// SPDX-License-Identifier: Apache-2.0

export function byId<T extends Element = HTMLElement>(id: string): T {
	return document.getElementById(id) as unknown as T;
}

type Child = Node | string;

// An element. Text always goes in as text: names come from a configuration file.
export function make<K extends keyof HTMLElementTagNameMap>(
	tag: K, attributes: Record<string, string> = {}, ...children: Child[]): HTMLElementTagNameMap[K] {
	const element = document.createElement(tag);
	for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
	element.append(...children);
	return element;
}

// Touches the document only when something changed: selections and screen readers stay undisturbed.
export function setText(element: Element, text: string): void {
	if (element.textContent !== text) element.textContent = text;
}

export function setData(element: HTMLElement, key: string, value: string): void {
	if (element.dataset[key] !== value) element.dataset[key] = value;
}

// Make `parent` have these children in this order, moving as little as possible.
export function arrange(parent: Element, children: Element[], from = 0): void {
	children.forEach((child, i) => {
		if (parent.children[from + i] !== child) parent.insertBefore(child, parent.children[from + i] ?? null);
	});
	while (parent.children.length > from + children.length) parent.lastElementChild!.remove();
}
