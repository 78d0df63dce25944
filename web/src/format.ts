// SPDX-License-Identifier: Apache-2.0
// Numbers for people. Three digits are enough to see what goes on, and keep columns still.

const SPACE = "\u202f"; // narrow, and no line breaks at it
const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });

function scale(value: number, units: string[]): string {
	let i = 0;
	while (value >= 999.5 && i < units.length - 1) {
		value /= 1000;
		i++;
	}
	const digits = i === 0 && Number.isInteger(value) ? 0 : value < 9.95 ? (i === 0 ? 1 : 2) : value < 99.5 ? 1 : 0;
	const text = i === 0 && value >= 99.5 ? whole.format(value) : value.toFixed(digits);
	return units[i] ? text + SPACE + units[i] : text;
}

export function perSecond(value: number): string {
	return scale(value, ["", "k", "M", "G"]);
}

export function bytes(value: number): string {
	return scale(Math.round(value), ["B", "kB", "MB", "GB", "TB"]);
}

export function count(value: number): string {
	return value < 1e6 ? whole.format(value) : scale(value, ["", "k", "M", "G", "T"]);
}

export function percent(share: number): string {
	return share > 0 && share < 0.01 ? `<1${SPACE}%` : `${Math.round(share * 100)}${SPACE}%`;
}

// Two units: 3 d 4 h, 12 min 5 s.
export function duration(seconds: number): string {
	const units: [string, number][] = [["d", 86400], ["h", 3600], ["min", 60], ["s", 1]];
	const first = Math.max(0, units.findIndex(([, size]) => seconds >= size));
	const at = seconds < 1 ? 3 : first;
	let rest = Math.floor(seconds);
	return units.slice(at, at + 2).map(([unit, size]) => {
		const n = Math.floor(rest / size);
		rest -= n * size;
		return `${n}${SPACE}${unit}`;
	}).join(" ");
}

export function clock(time: string): string {
	return new Date(time).toLocaleTimeString("en-GB");
}

export function ago(time: string): string {
	return duration(Math.max(0, (Date.now() - Date.parse(time)) / 1000));
}
