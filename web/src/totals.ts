// SPDX-License-Identifier: Apache-2.0
// The head line: who this is, and what all of it does at this moment.

import { byId, make, setData, setText } from "./dom.js";
import { bytes, count, duration, perSecond } from "./format.js";
import type { Sample, Status } from "./types.js";

const terms = ["Connections", "Open now", "To servers", "From servers", "Packets", "Dropped"];

export class Totals {
	readonly #values = terms.map(() => [make("dd", {}, "–"), make("dd", { class: "sub" })] as const);
	#status: Status | null = null;

	constructor() {
		byId("totals").append(...terms.map((term, i) => make("div", {}, make("dt", {}, term), ...this.#values[i]!)));
	}

	setStatus(status: Status): void {
		this.#status = status;
		setText(byId("state"), status.state);
		setData(byId("state"), "state", status.state);
		const panic = status.pools_in_panic?.length ? ` · panic in ${status.pools_in_panic.join(", ")}` : "";
		setText(byId("about"), `${status.mode} · ${status.version} · up ${duration(status.uptime)}${panic}`);
		const isProxy = status.mode === "proxy";
		for (const i of [4, 5]) this.#values[i]![0].parentElement!.hidden = isProxy; // it counts no packets
	}

	setSample(sample: Sample): void {
		const limit = this.#status?.flows?.capacity ?? this.#status?.sessions?.max;
		const texts: [string, string][] = [
			[perSecond(sample.flows_per_s), "new per second"],
			[count(sample.current), limit ? `of ${count(limit)}` : ""],
			[`${bytes(sample.bytes_tx_per_s)}`, "per second"],
			this.#status?.mode === "dsr" ? ["–", "past culvert"] : [`${bytes(sample.bytes_rx_per_s)}`, "per second"],
			[perSecond(sample.packets_per_s), "per second"],
			[perSecond(sample.drops_per_s), "per second"],
		];
		texts.forEach((pair, i) => pair.forEach((text, j) => setText(this.#values[i]![j]!, text)));
	}
}
