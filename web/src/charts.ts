// SPDX-License-Identifier: Apache-2.0
// The last five minutes as lines. Each chart has a legend in words with the numbers of now, and
// says the same to whoever does not see it.

import uPlot from "uplot";
import { make, setText } from "./dom.js";
import { clock } from "./format.js";
import type { Sample } from "./types.js";

export interface Line {
	label: string;
	color: string; // a custom property of the style sheet
	dash?: number[];
	value: (sample: Sample) => number | null; // null: nobody can tell
}

const HEIGHT = 172;
const WINDOW_S = 300;
const WINDOW_LEAST_S = 60;
const GAP_S = 3;

function css(name: string): string {
	return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

// Where nobody has measured there is no line.
function withGaps(times: number[], lines: (number | null)[][]): (number | null)[][] {
	const data: (number | null)[][] = [[], ...lines.map(() => [])];
	times.forEach((time, i) => {
		if (i && time - times[i - 1]! > GAP_S) data.forEach((row, k) => row.push(k ? null : time - 1));
		data.forEach((row, k) => row.push(k ? lines[k - 1]![i]! : time));
	});
	return data;
}

// An axis wants 10 k where a column of numbers wants 10.0 k.
function shorten(text: string): string {
	return text.replace(/(\.\d*?)0+(?!\d)/, "$1").replace(/\.(?!\d)/, "");
}

export class Chart {
	#plot: uPlot | null = null;
	#data: (number | null)[][];
	#values: HTMLElement[] = [];
	readonly #canvas = make("div", { class: "plot", role: "img" });

	constructor(readonly root: HTMLElement, readonly title: string, readonly lines: Line[],
		readonly format: (value: number) => string) {
		this.#data = [[], ...lines.map(() => [])];
		const legend = make("dl", { class: "legend" });
		for (const line of lines) {
			const value = make("dd", {}, "–");
			const key = make("i", { class: line.dash ? "dashed" : "solid" });
			key.style.color = `var(${line.color})`; // an attribute would be against the page's policy
			this.#values.push(value);
			legend.append(make("div", {}, make("dt", {}, key, line.label), value));
		}
		root.append(legend, this.#canvas);
		new ResizeObserver(() => this.#plot?.setSize(this.#size())).observe(this.#canvas);
		matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.#create());
	}

	set(samples: Sample[]): void {
		const shown = samples.slice(-WINDOW_S);
		this.#data = withGaps(
			shown.map((sample) => Date.parse(sample.time) / 1000),
			this.lines.map((line) => shown.map(line.value)),
		);
		if (!this.#plot) this.#create();
		else this.#plot.setData(this.#data as uPlot.AlignedData);
		this.#tell(shown.at(-1));
	}

	#tell(now: Sample | undefined): void {
		if (!now) return;
		const words = this.lines.map((line, i) => {
			const value = line.value(now);
			const text = value === null ? "–" : this.format(value);
			setText(this.#values[i]!, text);
			if (value === null) return `${line.label} not known`;
			return `${line.label} ${text}, at most ${this.format(Math.max(...this.#data[i + 1]!.map(Number)))}`;
		});
		this.#canvas.setAttribute("aria-label", `${this.title}, last five minutes: ${words.join("; ")}`);
	}

	#size() {
		return { width: Math.max(120, this.#canvas.clientWidth), height: HEIGHT };
	}

	#create(): void {
		this.#plot?.destroy();
		const axis = { stroke: css("--muted"), font: `11px ${css("--sans")}`,
			ticks: { show: false }, grid: { stroke: css("--line"), width: 1 } };
		this.#plot = new uPlot({
			...this.#size(),
			legend: { show: false },
			padding: [8, 26, 0, 0],
			cursor: { sync: { key: "culvert" }, y: false, points: { size: 7 }, drag: { x: false, y: false } },
			hooks: { setCursor: [(plot) => this.#point(plot)] },
			scales: {
				// A minute at least, so that the first seconds do not look like a trend.
				x: { range: (_plot, min, max) => [Math.min(min, max - WINDOW_LEAST_S), max] },
				y: { range: (_plot, _min, max) => [0, Math.max(max * 1.08, 1)] },
			},
			axes: [
				{ ...axis, size: 24, space: 84, grid: { show: false },
					values: (_plot, times) => times.map((time) => clock(new Date(time * 1000).toISOString()).replace(/:00$/, "")),
					incrs: [20, 60, 120] },
				{ ...axis, size: 62, space: 34, values: (_plot, values) => values.map((value) => shorten(this.format(value))) },
			],
			series: [{}, ...this.lines.map((line) => ({
				stroke: css(line.color), width: 1.5, points: { show: false }, dash: line.dash ?? [],
				fill: line.dash ? "transparent" : `${css(line.color)}1c`,
			}))],
		}, this.#data as uPlot.AlignedData, this.#canvas);
	}

	// Under the pointer the legend shows that moment.
	#point(plot: uPlot): void {
		const at = plot.cursor.idx ?? this.#data[0]!.length - 1;
		this.lines.forEach((_line, i) => {
			const value = this.#data[i + 1]![at];
			if (typeof value === "number") setText(this.#values[i]!, this.format(value));
		});
	}
}
