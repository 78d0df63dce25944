// SPDX-License-Identifier: Apache-2.0
// What the API answers, as far as the page looks at it.

export interface Rates {
	flows_per_s: number;
	bytes_rx_per_s: number; // from backends
	bytes_tx_per_s: number; // to backends
	current: number;
}

export interface Sample extends Rates {
	time: string;
	packets_per_s: number;
	drops_per_s: number;
	frontends: Record<string, Rates>; // who is missing does nothing
	backends?: Record<string, Rates>; // the newest sample only
}

export interface Status {
	version: string;
	mode: "proxy" | "passthrough" | "dsr";
	uptime: number;
	state: string;
	flows?: { current: number; capacity: number };
	sessions?: { current: number; max: number };
	config?: { path: string; generation: number };
	pools_in_panic?: string[];
}

export interface Frontend {
	name: string;
	protocol: string;
	address: string;
	pool: string;
	scheduler?: string;
	state?: string;
}

export interface Backend {
	name: string; // POOL/SERVER
	pool: string;
	server: string;
	address: string;
	state: string;
	health: string;
	health_reason?: string | null;
	health_since?: string | null;
	weight: { configured: number; set: number | null; effective: number };
	connections: { current: number; total: number };
	bytes: { tx: number; rx: number | null }; // null: backends answer past culvert (DSR)
	hop?: null | { state: string; interface?: string | null; mac?: string | null };
}

export interface Pool {
	name: string;
	up: number;
	total: number;
	in_panic?: boolean;
	frontends: string[];
}

export interface Backends {
	backends: Backend[];
	pools: Pool[];
}

export interface Count {
	text: string;
	count: number;
	reason?: string; // packet modes
	end?: string; // proxy mode
}

export interface Drops {
	received?: number;
	forwarded?: number;
	fast_path?: number; // of these, by the kernel
	passed?: number;
	drops?: Count[];
	ends?: Count[];
}

export interface Happening {
	time: string;
	kind: string;
	level: "info" | "warn" | "error";
	subject: string;
	text: string;
}

export const idle: Rates = { flows_per_s: 0, bytes_rx_per_s: 0, bytes_tx_per_s: 0, current: 0 };
