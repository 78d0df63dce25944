// SPDX-License-Identifier: Apache-2.0
// One server: a row of the table, and another one below it with everything else when it is opened.

import { make, setData, setText } from "./dom.js";
import { ago, bytes, clock, count, percent, perSecond } from "./format.js";
import type { Backend, Rates } from "./types.js";

// What is shown is one word: what an operator has said comes before what probes have found.
export function condition(backend: Backend): string {
	return backend.state === "ready" ? backend.health : backend.state;
}

// A shape for each, so that colour is never the only sign.
const signs: Record<string, string> = {
	up: "●", down: "✕", unknown: "○", unchecked: "◌", drain: "◐", maint: "■", removed: "◍",
};

export function isSound(backend: Backend): boolean {
	return ["up", "unchecked"].includes(condition(backend));
}

function weightText({ configured, set, effective }: Backend["weight"]): string {
	if (set !== null) return `${effective}, set by hand (in the file: ${configured})`;
	return effective === configured ? `${configured}` : `${effective} of ${configured}`;
}

// Its share says that one which is kept out gets nothing.
function shownWeight({ state, weight }: Backend): number {
	return state === "ready" ? weight.effective : (weight.set ?? weight.configured);
}

let serial = 0;

export class BackendRow {
	readonly rows: [HTMLTableRowElement, HTMLTableRowElement];
	readonly anchor: HTMLElement; // where a ribbon ends
	rates: Rates | undefined;
	#backend!: Backend;
	#cells: Record<string, HTMLElement> = {};
	#button: HTMLButtonElement;
	#details: HTMLElement;

	constructor(readonly onToggle: () => void) {
		const id = `details-${++serial}`;
		this.#button = make("button", { type: "button", class: "name", "aria-expanded": "false", "aria-controls": id });
		this.#details = make("dl", { class: "details" });
		const cell = (name: string, kind = "") => (this.#cells[name] = make("td", kind ? { class: kind } : {}));
		this.anchor = cell("state", "state");
		this.anchor.append((this.#cells.sign = make("i", { class: "sign" })), (this.#cells.word = make("span")));
		const share = make("i");
		this.#cells.bar = share;
		const shareText = (this.#cells.shareText = make("span"));
		this.rows = [
			make("tr", { class: "backend" }, this.anchor,
				make("th", { scope: "row" }, this.#button), cell("address", "wide address"),
				cell("weight", "number wide"), make("td", { class: "share wide" }, make("span", { class: "bar" }, share), shareText),
				cell("open", "number"), cell("flows", "number"), cell("tx", "number volume wide"), cell("rx", "number volume")),
			make("tr", { class: "more", id }, make("td", { colspan: "9" }, this.#details)),
		];
		this.rows[1].hidden = true;
		this.#button.addEventListener("click", () => this.#toggle());
	}

	#toggle(): void {
		const isOpen = this.rows[1].hidden;
		this.rows[1].hidden = !isOpen;
		this.#button.setAttribute("aria-expanded", String(isOpen));
		this.#fillDetails();
		this.onToggle();
	}

	setBackend(backend: Backend): void {
		this.#backend = backend;
		const word = condition(backend);
		setData(this.rows[0], "condition", word);
		setData(this.rows[0], "name", backend.name);
		setText(this.#cells.sign!, signs[word] ?? "○");
		setText(this.#cells.word!, word);
		setText(this.#button, backend.server);
		setText(this.#cells.address!, backend.address);
		this.#button.title = backend.server;
		this.#cells.address!.title = backend.address;
		setText(this.#cells.weight!, `${shownWeight(backend)}${backend.weight.set === null ? "" : " set"}`);
		this.#fillDetails();
	}

	// `poolBytes`: of all servers of the pool, per second.
	setRates(rates: Rates | undefined, poolBytes: number): void {
		this.rates = rates;
		const sum = rates ? rates.bytes_rx_per_s + rates.bytes_tx_per_s : 0;
		const share = poolBytes > 0 ? sum / poolBytes : 0;
		this.rows[0].classList.toggle("idle", sum === 0);
		setText(this.#cells.open!, count(rates?.current ?? 0));
		setText(this.#cells.flows!, perSecond(rates?.flows_per_s ?? 0));
		setText(this.#cells.tx!, `${bytes(rates?.bytes_tx_per_s ?? 0)}/s`);
		setText(this.#cells.rx!, this.#backend.bytes.rx === null ? "–" : `${bytes(rates?.bytes_rx_per_s ?? 0)}/s`);
		setText(this.#cells.shareText!, percent(share));
		this.#cells.bar!.style.width = `${share * 100}%`;
	}

	matches(word: string): boolean {
		const { name, address } = this.#backend;
		return `${name} ${address} ${condition(this.#backend)}`.toLowerCase().includes(word);
	}

	#fillDetails(): void {
		if (this.rows[1].hidden) return;
		const { name, address, health, health_reason, health_since, hop, weight, connections, state } = this.#backend;
		const since = health_since ? ` since ${clock(health_since)} (${ago(health_since)})` : "";
		const facts: [string, string][] = [
			["Server", name],
			["Address", address],
			["Health", `${health}${since}${health_reason ? `: ${health_reason}` : ""}`],
			["Asked to be", state],
			["Weight", weightText(weight)],
			["Connections", `${count(connections.current)} open, ${count(connections.total)} ever`],
		];
		if (hop) facts.push(["Next hop", [hop.state, hop.interface, hop.mac].filter(Boolean).join(" · ")]);
		const text = JSON.stringify(facts);
		if (this.#details.dataset.text === text) return;
		this.#details.dataset.text = text;
		this.#details.replaceChildren(...facts.map(([term, fact]) =>
			make("div", {}, make("dt", {}, term), make("dd", {}, fact))));
	}
}
