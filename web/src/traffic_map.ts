// SPDX-License-Identifier: Apache-2.0
// Frontends, pools and servers, and between them ribbons as wide as the bytes that go there. The
// nodes are a list, a list and a table, which is all that a narrow screen shows; the ribbons are laid
// over wherever these have come to stand.

import { BackendRow, condition, isSound } from "./backend_row.js";
import { arrange, byId, make, setData, setText } from "./dom.js";
import { bytes, perSecond } from "./format.js";
import { drawRibbons, type Ribbon } from "./ribbons.js";
import { idle, type Backend, type Backends, type Frontend, type Pool, type Rates, type Sample } from "./types.js";

const ROWS_AT_FIRST = 60; // of a pool
const FILTER_FROM = 13; // servers

function volume(rates: Rates | undefined): number {
	return rates ? rates.bytes_rx_per_s + rates.bytes_tx_per_s : 0;
}

// Idle ones are left out; every object knows a "constructor", which may be a frontend's name.
function ratesOf(sample: Pick<Sample, "frontends"> | null, frontend: Frontend): Rates | undefined {
	return sample && Object.hasOwn(sample.frontends, frontend.name) ? sample.frontends[frontend.name] : undefined;
}

function sum(parts: (Rates | undefined)[]): Rates {
	const total = { ...idle };
	for (const part of parts) {
		if (!part) continue;
		for (const key of Object.keys(total) as (keyof Rates)[]) total[key] += part[key];
	}
	return total;
}

function group(backends: Backend[]): Map<string, Backend[]> {
	const groups = new Map<string, Backend[]>();
	for (const backend of backends) {
		const members = groups.get(backend.pool);
		if (members) members.push(backend);
		else groups.set(backend.pool, [backend]);
	}
	return groups;
}

class Node {
	readonly element: HTMLLIElement;
	readonly #lines = [make("strong"), make("span", { class: "what" }), make("span", { class: "rate" })];
	constructor() {
		this.element = make("li", {}, ...this.#lines);
	}
	set(name: string, what: string, rates: Rates): void {
		[name, what, `${perSecond(rates.flows_per_s)} new/s · ${bytes(volume(rates))}/s`].forEach(
			(text, i) => setText(this.#lines[i]!, text));
	}
}

class PoolBlock {
	readonly node = new Node();
	readonly body: HTMLTableSectionElement;
	readonly rows = new Map<string, BackendRow>();
	readonly #title = make("th", { scope: "rowgroup", colspan: "9" });
	readonly #more = make("button", { type: "button" });
	readonly #rest = make("tr", { class: "rest" }, make("td", { colspan: "9" }, this.#more));
	pool!: Pool;
	#backends: Backend[] = [];
	#showsAll = false;
	#filter = "";

	constructor(readonly onLayout: () => void) {
		this.body = make("tbody", {}, make("tr", { class: "pool" }, this.#title), this.#rest);
		this.#more.addEventListener("click", () => {
			this.#showsAll = true;
			this.show(this.#filter);
			this.onLayout();
		});
	}

	set(pool: Pool, backends: Backend[]): void {
		this.pool = pool;
		this.#backends = backends;
		const names = new Set(backends.map((backend) => backend.name));
		for (const name of this.rows.keys()) if (!names.has(name)) this.rows.delete(name);
		for (const backend of backends) {
			const row = this.rows.get(backend.name) ?? new BackendRow(this.onLayout);
			row.setBackend(backend);
			this.rows.set(backend.name, row);
		}
		setText(this.#title, `${pool.name}: ${this.summary()}`);
		this.show(this.#filter);
	}

	summary(): string {
		const sound = this.#backends.filter(isSound).length;
		return `${sound} of ${this.pool.total} usable${this.pool.in_panic ? ", panic: all are used" : ""}`;
	}

	// Those in trouble are never among the ones that are left out.
	show(filter: string): void {
		this.#filter = filter;
		let chosen = this.#backends.filter((backend) => !filter || this.rows.get(backend.name)!.matches(filter));
		const n = chosen.length;
		if (!this.#showsAll && n > ROWS_AT_FIRST)
			chosen = [...chosen.filter((b) => !isSound(b)), ...chosen.filter(isSound)].slice(0, ROWS_AT_FIRST);
		setText(this.#more, `Show ${n - chosen.length} more`);
		const tail = n > chosen.length ? [this.#rest] : [];
		arrange(this.body, [...chosen.flatMap((backend) => this.rows.get(backend.name)!.rows), ...tail], 1);
	}

	setRates(sample: Sample): Rates {
		const rates = this.#backends.map((backend) => sample.backends?.[backend.name]);
		const total = sum(rates);
		this.#backends.forEach((backend, i) => this.rows.get(backend.name)!.setRates(rates[i], volume(total)));
		this.node.set(this.pool.name, this.summary(), total);
		setData(this.node.element, "level", this.#backends.some(isSound) ? "good" : "bad");
		return total;
	}

	ribbons(): Ribbon[] {
		return [...this.rows.values()].filter((row) => row.rows[0].isConnected).map((row) => ({
			from: this.node.element, to: row.anchor, volume: volume(row.rates),
			kind: row.rows[0].dataset.condition ?? "",
		}));
	}
}

export class TrafficMap {
	readonly #map = byId("map");
	readonly #table = byId<HTMLTableElement>("backends");
	readonly #filter = byId<HTMLInputElement>("filter");
	readonly #frontends = new Map<string, { node: Node; frontend: Frontend }>();
	readonly #pools = new Map<string, PoolBlock>();
	#sample: Sample | null = null;

	constructor() {
		const layout = () => this.#layout();
		new ResizeObserver(layout).observe(this.#map);
		this.#filter.addEventListener("input", () => {
			for (const pool of this.#pools.values()) pool.show(this.#filter.value.trim().toLowerCase());
			layout();
		});
	}

	setTopology(frontends: Frontend[], { backends, pools }: Backends): void {
		const names = new Set(frontends.map((frontend) => frontend.name));
		for (const name of this.#frontends.keys()) if (!names.has(name)) this.#frontends.delete(name);
		for (const frontend of frontends) {
			const node = this.#frontends.get(frontend.name)?.node ?? new Node();
			this.#frontends.set(frontend.name, { node, frontend });
		}
		for (const name of this.#pools.keys()) if (!pools.some((pool) => pool.name === name)) this.#pools.delete(name);
		const byPool = group(backends);
		for (const pool of pools) {
			const block = this.#pools.get(pool.name) ?? new PoolBlock(() => this.#layout());
			block.set(pool, byPool.get(pool.name) ?? []);
			this.#pools.set(pool.name, block);
		}
		arrange(byId("frontends"), [...this.#frontends.values()].map(({ node }) => node.element));
		arrange(byId("pools"), [...this.#pools.values()].map(({ node }) => node.element));
		arrange(this.#table, [...this.#pools.values()].map(({ body }) => body), 2); // after caption, head
		byId("filter-label").hidden = backends.length < FILTER_FROM;
		this.#summarise(backends);
		this.#update();
	}

	setSample(sample: Sample): void {
		this.#sample = sample;
		this.#update();
	}

	#summarise(backends: Backend[]): void {
		const counts = new Map<string, number>();
		for (const backend of backends) counts.set(condition(backend), (counts.get(condition(backend)) ?? 0) + 1);
		setText(byId("health-summary"), [...counts].map(([word, n]) => `${n} ${word}`).join(", "));
		const down = counts.get("down") ?? 0;
		document.title = down ? `(${down} down) culvert` : "culvert";
	}

	#update(): void {
		const sample = this.#sample ?? { ...idle, time: "", packets_per_s: 0, drops_per_s: 0, frontends: {} };
		for (const { node, frontend } of this.#frontends.values()) {
			const what = `${frontend.protocol} ${frontend.address}${frontend.state === "active" ? "" : ` · ${frontend.state}`}`;
			node.set(frontend.name, what, ratesOf(sample, frontend) ?? idle);
		}
		for (const pool of this.#pools.values()) pool.setRates(sample);
		this.#layout();
	}

	#layout(): void {
		const ribbons: Ribbon[] = [];
		for (const { node, frontend } of this.#frontends.values()) {
			const to = this.#pools.get(frontend.pool)?.node.element;
			if (to) ribbons.push({ from: node.element, to, volume: volume(ratesOf(this.#sample, frontend)), kind: "" });
		}
		for (const pool of this.#pools.values()) ribbons.push(...pool.ribbons());
		drawRibbons(this.#map, byId<SVGSVGElement>("ribbons"),
			[...this.#frontends.values()].map(({ node }) => node.element),
			[...this.#pools.values()].map(({ node, body }) => ({ node: node.element, body })), ribbons);
	}
}
