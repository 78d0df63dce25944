// SPDX-License-Identifier: Apache-2.0
// What was dropped and why (in proxy mode: how sessions ended), and what has happened.

import { arrange, byId, make, setText } from "./dom.js";
import { clock, count, perSecond } from "./format.js";
import type { Count, Drops, Happening } from "./types.js";

const SPARK_POINTS = 60;
const SVG = "http://www.w3.org/2000/svg";

function sparkline(): [SVGSVGElement, (values: number[]) => void] {
	const svg = document.createElementNS(SVG, "svg");
	const line = document.createElementNS(SVG, "polyline");
	svg.setAttribute("viewBox", `0 0 ${SPARK_POINTS} 16`);
	svg.setAttribute("preserveAspectRatio", "none");
	svg.setAttribute("aria-hidden", "true");
	svg.append(line);
	return [svg, (values) => {
		const max = Math.max(...values, 1e-9);
		line.setAttribute("points", values.map((value, i) =>
			`${SPARK_POINTS - values.length + i},${(15 - (14 * value) / max).toFixed(1)}`).join(" "));
	}];
}

class DropRow {
	readonly row: HTMLTableRowElement;
	readonly #rate = make("td", { class: "number" });
	readonly #count = make("td", { class: "number" });
	readonly #draw: (values: number[]) => void;
	#rates: number[] = Array<number>(SPARK_POINTS).fill(0);
	#last = 0;
	#at = 0;

	constructor(readonly name: string, text: string) {
		const [svg, draw] = sparkline();
		this.#draw = draw;
		const spark = make("td", { class: "spark" });
		spark.append(svg);
		this.row = make("tr", { "data-reason": name }, make("th", { scope: "row" }, make("code", {}, name),
			make("span", { class: "what" }, text)), spark, this.#rate, this.#count);
	}

	set(value: number): void {
		const now = performance.now();
		const rate = this.#at ? Math.max(0, value - this.#last) / ((now - this.#at) / 1000) : 0;
		this.#last = value;
		this.#at = now;
		this.#rates = [...this.#rates, rate].slice(-SPARK_POINTS);
		this.#draw(this.#rates);
		setText(this.#rate, rate ? perSecond(rate) : "–");
		setText(this.#count, count(value));
	}
}

export class DropLedger {
	readonly #rows = new Map<string, DropRow>();

	set(drops: Drops): void {
		const counts: Count[] = drops.drops ?? drops.ends ?? [];
		const seen = counts.filter((entry) => entry.count > 0);
		for (const entry of counts) {
			const name = entry.reason ?? entry.end ?? "";
			// A row for everything, so that the first one that is dropped has a rate.
			const row = this.#rows.get(name) ?? new DropRow(name, entry.text);
			this.#rows.set(name, row);
			row.set(entry.count);
		}
		seen.sort((a, b) => b.count - a.count);
		arrange(byId("drops"), seen.map((entry) => this.#rows.get(entry.reason ?? entry.end ?? "")!.row));
		byId("drops-table").hidden = seen.length === 0;
		setText(byId("drops-rest"), this.#rest(counts.length, seen.length, drops.ends ? "ends" : "reasons"));
		setText(byId("drops-title"), drops.ends ? "How sessions ended" : "Drops");
		setText(byId("drops-balance"), this.#balance(drops, seen));
	}

	#rest(n: number, seen: number, what: string): string {
		if (n === seen) return "";
		return seen ? `${n - seen} other ${what} have not occurred.` : `None of ${n} ${what} has occurred.`;
	}

	#balance(drops: Drops, seen: Count[]): string {
		if (drops.received === undefined) return "";
		const dropped = seen.reduce((total, entry) => total + entry.count, 0);
		const fast = drops.fast_path ? ` (${count(drops.fast_path)} by the kernel)` : "";
		return `${count(drops.received)} packets received: ${count(drops.forwarded ?? 0)} forwarded${fast}, ` +
			`${count(drops.passed ?? 0)} passed to the kernel, ${count(dropped)} dropped`;
	}
}

const EVENTS_SHOWN = 100;
const levels = { info: "·", warn: "▲", error: "✕" };

export class EventList {
	readonly #list = byId("events");

	set(events: Happening[]): void {
		this.#list.replaceChildren(...events.slice(0, EVENTS_SHOWN).map((event) => this.#item(event)));
		this.#showNone();
	}

	add(event: Happening): void {
		this.#list.prepend(this.#item(event));
		while (this.#list.children.length > EVENTS_SHOWN) this.#list.lastElementChild!.remove();
		this.#showNone();
	}

	#showNone(): void {
		byId("events-none").hidden = this.#list.children.length > 0;
		this.#list.hidden = this.#list.children.length === 0;
	}

	#item(event: Happening): HTMLLIElement {
		const sign = make("b", { title: event.level }, levels[event.level] ?? "·");
		return make("li", { "data-level": event.level, "data-kind": event.kind },
			make("time", { datetime: event.time, title: new Date(event.time).toLocaleString() }, clock(event.time)),
			sign, make("span", { class: "kind" }, event.kind),
			make("p", {}, make("strong", {}, event.subject), event.subject ? " " : "", event.text));
	}
}
