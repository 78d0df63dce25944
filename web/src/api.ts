// SPDX-License-Identifier: Apache-2.0
// Questions to the API, and the stream of samples. EventSource cannot send the token, so the stream
// is read by fetch() too.

import type { Happening, Sample } from "./types.js";

const TOKEN_KEY = "culvert-token";
const SILENCE_MS = 6000; // there is a sample every second
const RETRY_MS = [1000, 2000, 4000, 8000];

export class TokenWanted extends Error {}

export function setToken(token: string): void {
	sessionStorage.setItem(TOKEN_KEY, token);
}

export function hasToken(): boolean {
	return sessionStorage.getItem(TOKEN_KEY) !== null;
}

async function request(path: string, signal?: AbortSignal): Promise<Response> {
	const token = sessionStorage.getItem(TOKEN_KEY);
	const headers: Record<string, string> = token ? { Authorization: `Bearer ${token}` } : {};
	const response = await fetch(path, { headers, signal: signal ?? null, cache: "no-store" });
	if (response.status === 401) throw new TokenWanted();
	if (!response.ok) throw new Error(await reason(response));
	return response;
}

async function reason(response: Response): Promise<string> {
	const fallback = `${response.status} ${response.statusText}`;
	try {
		return (await response.json()).error.message ?? fallback;
	} catch {
		return fallback;
	}
}

export async function get<T>(path: string): Promise<T> {
	const response = await request(`/api/v1/${path}`, AbortSignal.timeout(SILENCE_MS));
	return response.json() as Promise<T>;
}

export interface StreamListener {
	onHistory(samples: Sample[]): void;
	onSample(sample: Sample): void;
	onEvent(event: Happening): void;
	onOpen(): void;
	onLost(error: Error, retryMs: number): void;
	onTokenWanted(): void;
}

// Server-sent events, one block after another (WHATWG HTML section 9.2), as far as ours go.
async function* blocks(body: ReadableStream<Uint8Array>, onData: () => void) {
	const reader = body.pipeThrough(new TextDecoderStream() as ReadableWritablePair<string, Uint8Array>).getReader();
	let held = "";
	for (;;) {
		const { done, value } = await reader.read();
		if (done) return;
		onData();
		held += value;
		const parts = held.split("\n\n");
		held = parts.pop()!;
		for (const part of parts) {
			const lines = part.split("\n");
			const event = lines.find((line) => line.startsWith("event: "))?.slice(7);
			const data = lines.find((line) => line.startsWith("data: "))?.slice(6);
			if (event && data) yield { event, data: JSON.parse(data) };
		}
	}
}

export class Stream {
	#attempts = 0;
	#timer = 0;
	constructor(readonly listener: StreamListener) {}

	// Also cuts a wait for the next try short.
	connect(): void {
		clearTimeout(this.#timer);
		this.#run().catch((error: Error) => this.#failed(error));
	}

	async #run(): Promise<void> {
		const abort = new AbortController();
		let watchdog = setTimeout(() => abort.abort(), SILENCE_MS);
		const onData = () => {
			clearTimeout(watchdog);
			watchdog = setTimeout(() => abort.abort(), SILENCE_MS);
		};
		try {
			const response = await request("/api/v1/stream", abort.signal);
			this.listener.onOpen();
			for await (const { event, data } of blocks(response.body!, onData)) {
				this.#attempts = 0;
				if (event === "history") this.listener.onHistory(data);
				else if (event === "sample") this.listener.onSample(data);
				else if (event === "event") this.listener.onEvent(data);
			}
		} finally {
			clearTimeout(watchdog);
			abort.abort();
		}
		throw new Error("culvert ended the stream");
	}

	#failed(error: Error): void {
		if (error instanceof TokenWanted) {
			this.listener.onTokenWanted();
			return;
		}
		const wait = RETRY_MS[Math.min(this.#attempts++, RETRY_MS.length - 1)]!;
		this.#timer = window.setTimeout(() => this.connect(), wait);
		this.listener.onLost(error, wait);
	}
}
