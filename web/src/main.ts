// SPDX-License-Identifier: Apache-2.0
// Rates come by the stream; what changes seldom is asked for, at once when an event says that it has
// changed.

import { get, hasToken, setToken, Stream, TokenWanted } from "./api.js";
import { Chart } from "./charts.js";
import { byId, make, setData, setText } from "./dom.js";
import { bytes, perSecond } from "./format.js";
import { DropLedger, EventList } from "./ledgers.js";
import { Totals } from "./totals.js";
import { TrafficMap } from "./traffic_map.js";
import type { Backends, Drops, Frontend, Happening, Sample, Status } from "./types.js";

const KEPT = 300; // samples
const ASK_MS = 2000;

const totals = new Totals();
const map = new TrafficMap();
const drops = new DropLedger();
const events = new EventList();
const charts = [
	new Chart(byId("flows-chart"), "New connections per second",
		[{ label: "new", color: "--flow", value: (sample) => sample.flows_per_s }], perSecond),
	new Chart(byId("bytes-chart"), "Bytes per second", [
		{ label: "from servers", color: "--flow", value: (sample) => (isDirect ? null : sample.bytes_rx_per_s) },
		{ label: "to servers", color: "--counter", dash: [5, 3], value: (sample) => sample.bytes_tx_per_s },
	], (value) => `${bytes(value)}/s`),
];

let samples: Sample[] = [];
let isDirect = false; // DSR: what servers send is not seen
let isPaused = false;
let isLive = false;

function draw(): void {
	if (isPaused) return;
	for (const chart of charts) chart.set(samples);
	const now = samples.at(-1);
	if (!now) return;
	totals.setSample(now);
	map.setSample(now);
}

function showLink(link: string, text: string): void {
	setData(byId("link"), "link", link);
	setText(byId("link"), text);
	document.body.classList.toggle("stale", link === "lost");
}

function showTrouble(text: string | null): void {
	const box = byId("trouble");
	box.hidden = text === null;
	if (text === null) return;
	const retry = make("button", { type: "button" }, "Try now");
	retry.addEventListener("click", () => stream.connect());
	box.replaceChildren(make("span", {}, text), retry);
}

// Nothing is told without the token.
function lock(isLocked: boolean): void {
	byId("token").hidden = !isLocked;
	byId("main").hidden = isLocked;
	document.body.classList.toggle("locked", isLocked);
}

async function ask(): Promise<void> {
	if (!isLive || isPaused) return;
	try {
		const [status, { frontends }, backends, ledger] = await Promise.all([
			get<Status>("status"), get<{ frontends: Frontend[] }>("frontends"),
			get<Backends>("backends"), get<Drops>("drops")]);
		isDirect = status.mode === "dsr";
		totals.setStatus(status);
		map.setTopology(frontends, backends);
		drops.set(ledger);
	} catch (error) {
		// The stream notices a culvert that is gone, and says so.
		if (error instanceof TokenWanted) stream.listener.onTokenWanted();
	}
}

// One question at a time, and none for each of a burst of events.
let asking: Promise<void> | null = null;
let isAskedAgain = false;
function askSoon(): void {
	if (asking) {
		isAskedAgain = true;
		return;
	}
	asking = ask().finally(() => {
		asking = null;
		if (isAskedAgain) setTimeout(askSoon, 100);
		isAskedAgain = false;
	});
}

async function begin(): Promise<void> {
	isLive = true;
	showLink("live", "live");
	showTrouble(null);
	lock(false);
	askSoon();
	events.set((await get<{ events: Happening[] }>("events?limit=100")).events);
}

const stream = new Stream({
	onOpen: () => void begin().catch(() => {}),
	onHistory(history) {
		samples = history;
		draw();
	},
	onSample(sample) {
		// After the history comes its last sample once more, with the servers.
		if (samples.at(-1)?.time === sample.time) samples.pop();
		samples = [...samples, sample].slice(-KEPT);
		draw();
	},
	onEvent(event) {
		events.add(event);
		askSoon();
	},
	onLost(error, retryMs) {
		isLive = false;
		showLink("lost", "connection lost");
		const why = error instanceof TypeError || error.name === "AbortError" ? "" : ` (${error.message})`;
		showTrouble(`No connection to culvert${why}. What is shown is old. Next try in ${retryMs / 1000} s.`);
	},
	onTokenWanted() {
		isLive = false;
		showLink("lost", "token wanted");
		lock(true);
		byId("token-refused").hidden = !hasToken();
		byId<HTMLInputElement>("token-text").select();
	},
});

byId("token").addEventListener("submit", (event) => {
	event.preventDefault();
	setToken(byId<HTMLInputElement>("token-text").value.trim());
	stream.connect();
});

byId("pause").addEventListener("click", () => {
	isPaused = !isPaused;
	byId("pause").setAttribute("aria-pressed", String(isPaused));
	document.body.classList.toggle("paused", isPaused);
	setText(byId("pause"), isPaused ? "Go on" : "Pause");
	draw();
	askSoon();
});

setInterval(askSoon, ASK_MS);
stream.connect();
