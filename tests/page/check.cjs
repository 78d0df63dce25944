// SPDX-License-Identifier: Apache-2.0
// The live page in a real browser. Called by tests/e2e/test_page.py, in the balancer's network
// namespace:  node check.cjs URL MODE DIRECTORY [TOKEN]
// What has to happen outside is asked for on standard output, one word a line, and answered by a
// line on standard input. Ends with 0 when everything was as it should be.
"use strict";

const assert = require("node:assert/strict");
const readline = require("node:readline");
const { chromium } = require("playwright-core");

const [url, mode, directory, token] = process.argv.slice(2);
const PATIENCE_MS = 20000;
const answers = readline.createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const complaints = [];
let isWatching = true;

async function ask(what) {
	console.log(what);
	assert.equal((await answers.next()).value, "done", what);
}

// A wrong one first. The browser reports what is refused.
async function enter(page) {
	isWatching = false;
	await page.goto(url);
	for (const text of ["wrong", token]) {
		await page.waitForFunction(() => document.activeElement.id === "token-text");
		await page.waitForSelector("#token-refused", { state: text === token ? "visible" : "hidden" });
		assert.ok(await page.isHidden("#main"));
		await page.fill("#token-text", text);
		const answer = page.waitForResponse("**/api/v1/stream");
		await page.keyboard.press("Enter");
		assert.equal((await answer).status(), text === token ? 200 : 401);
	}
	isWatching = true;
}

// Everything that a page may not do, in every page that is opened here.
async function open(browser, options) {
	const context = await browser.newContext(options);
	const page = await context.newPage();
	page.setDefaultTimeout(PATIENCE_MS);
	page.on("console", (message) => {
		if (isWatching && ["error", "warning"].includes(message.type())) complaints.push(message.text());
	});
	page.on("pageerror", (error) => complaints.push(String(error)));
	page.on("request", (request) => {
		if (new URL(request.url()).origin !== new URL(url).origin) complaints.push(`asks ${request.url()}`);
	});
	if (token) await enter(page);
	else await page.goto(url);
	await page.waitForSelector('#link[data-link="live"]');
	await page.waitForSelector("tr.backend");
	return page;
}

const condition = (page, name, word) =>
	page.waitForSelector(`tr[data-name="${name}"][data-condition="${word}"]`);

// The number of a card of the head line.
const total = (page, term) => page.evaluate((name) => [...document.querySelectorAll("#totals div")]
	.find((card) => card.querySelector("dt").textContent === name)?.querySelector("dd").textContent, term);

async function ratesMove(page) {
	const seen = new Set();
	const end = Date.now() + PATIENCE_MS;
	while (seen.size < 3 && Date.now() < end) {
		const text = await total(page, "From servers");
		if (!text.startsWith("0") && text !== "–") seen.add(text);
		await page.waitForTimeout(200);
	}
	assert.ok(seen.size >= 3, `rates stand still: ${[...seen]}`);
	await page.waitForFunction(() => document.querySelector("tr.backend .volume:last-child").textContent !== "0\u202fB/s");
	await page.waitForFunction(() => document.querySelectorAll("#ribbons .busy").length >= 3);
	assert.match(await page.getAttribute("#bytes-chart .plot", "aria-label"), /from servers [1-9].*at most/);
}

// Names may be those that every object of the language knows.
async function nothingIsNoNumber(page) {
	if (mode === "proxy") await page.waitForSelector("#frontends >> text=constructor");
	assert.deepEqual(await page.evaluate(() => document.body.innerText.match(/.*(NaN|undefined|\[object|native code).*/g)), null);
}

async function keyboardReaches(page) {
	await page.keyboard.press("Tab");
	assert.equal(await page.evaluate(() => document.activeElement.className), "skip");
	await page.keyboard.press("Tab");
	assert.equal(await page.evaluate(() => document.activeElement.id), "pause");
	await page.keyboard.press("Enter");
	assert.equal(await page.getAttribute("#pause", "aria-pressed"), "true");
	await page.keyboard.press("Enter");
	assert.equal(await page.getAttribute("#pause", "aria-pressed"), "false");
	await page.keyboard.press("Tab");
	assert.equal(await page.evaluate(() => document.activeElement.className), "name");
	await page.keyboard.press("Enter");
	assert.equal(await page.getAttribute("button.name >> nth=0", "aria-expanded"), "true");
	await page.waitForSelector("dl.details >> text=Connections");
	await page.keyboard.press("Enter");
}

async function fits(page, what) {
	const [inside, width] = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
	assert.ok(inside <= width, `${what}: ${inside} pixels on a screen of ${width}`);
}

// WCAG 2.2, 1.4.3 and 1.4.11: text 4.5, lines 3.
async function contrasts(page, what) {
	const ratios = await page.evaluate(() => {
		const channel = (value) => (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4);
		const style = getComputedStyle(document.documentElement);
		const luminance = (name) => {
			const hex = style.getPropertyValue(name).trim().slice(1);
			const [r, g, b] = [0, 2, 4].map((at) => channel(parseInt(hex.slice(at, at + 2), 16) / 255));
			return 0.2126 * r + 0.7152 * g + 0.0722 * b;
		};
		return ["ink", "muted", "good", "bad", "warn", "flow", "counter", "focus"].flatMap((front) => ["page", "card"].map((back) => {
			const [light, dark] = [luminance(`--${front}`), luminance(`--${back}`)].sort((a, b) => b - a);
			return [`${front} on ${back}`, (light + 0.05) / (dark + 0.05), ["flow", "counter", "focus"].includes(front) ? 3 : 4.5];
		}));
	});
	for (const [pair, ratio, least] of ratios) assert.ok(ratio >= least, `${what}, ${pair}: ${ratio.toFixed(2)}`);
}

// Servers that there are not, at the places of those that there are.
async function manyServersStayReadable(browser, viewport) {
	const page = await open(browser, { viewport, colorScheme: "light" });
	await page.route("**/api/v1/backends", async (route) => {
		const answer = await (await route.fetch()).json();
		const [first] = answer.backends;
		answer.backends = Array.from({ length: 40 }, (_, i) => ({ ...first, name: `web/server-${i}`, server: `server-${i}` }));
		Object.assign(answer.backends[0], { server: "w".repeat(64), address: "[fd00:0:1234:5678:9abc:def0:1234:5678]:8080" });
		answer.pools[0].total = 40;
		await route.fulfill({ json: answer });
	});
	await page.waitForFunction(() => document.querySelectorAll("tr.backend").length === 40);
	for (const width of viewport.width > 1000 ? [1440, 1280, 1201, 1000, 721] : [360, 320]) {
		await page.setViewportSize({ ...viewport, width });
		await fits(page, `40 servers, ${width} pixels`);
	}
	await page.waitForSelector("#filter");
	await page.fill("#filter", "server-7");
	await page.waitForFunction(() => document.querySelectorAll("tr.backend").length === 1);
	await page.context().close();
}

async function theLedgerTellsOfTheFastPath(browser) {
	const page = await open(browser, { viewport: { width: 1440, height: 900 } });
	let packets = 4321;
	await page.route("**/api/v1/drops", async (route) => {
		const answer = await (await route.fetch()).json();
		await route.fulfill({ json: { ...answer, forwarded: 5000, fast_path: packets } });
	});
	await page.waitForSelector("#drops-balance >> text=/ forwarded \\(4.?321 by the kernel\\), /");
	packets = 0;
	await page.waitForSelector("#drops-balance >> text=/ forwarded, /");
	await page.context().close();
}

async function pictures(browser) {
	for (const [device, viewport] of [["desktop", { width: 1440, height: 900 }], ["phone", { width: 360, height: 740 }]]) {
		for (const colorScheme of ["light", "dark"]) {
			const page = await open(browser, { viewport, colorScheme, reducedMotion: "reduce", deviceScaleFactor: device === "phone" ? 2 : 1 });
			await page.waitForFunction(() => document.querySelector("#totals dd").textContent !== "–");
			await page.waitForTimeout(2500); // so that there is something in the ledger of drops
			await fits(page, device);
			await contrasts(page, colorScheme);
			const motion = await page.evaluate(() => getComputedStyle(document.getElementById("link"), "::before").animationName);
			assert.equal(motion, "none", "reduced motion");
			await page.screenshot({ path: `${directory}/page-${device}-${colorScheme}.png` });
			await page.context().close();
		}
		await manyServersStayReadable(browser, viewport);
	}
}

async function deathAndReturnAreShown(page) {
	await condition(page, "web/b2", "up");
	await ask("kill b2");
	await condition(page, "web/b2", "down");
	assert.match(await page.textContent('tr[data-name="web/b2"] .state'), /✕.*down/);
	await page.waitForSelector('#events li[data-kind="health"][data-level="warn"] >> text=web/b2');
	await page.waitForFunction(() => document.title === "(1 down) culvert");
	await page.waitForSelector("#ribbons .down");
	await ask("look at it");
	await ask("start b2");
	await condition(page, "web/b2", "up");
}

async function theLossOfTheServerIsShown(page) {
	isWatching = false; // the browser reports that nobody answers
	await ask("stop culvert");
	await page.waitForSelector('#link[data-link="lost"]');
	await page.waitForSelector("#trouble >> text=No connection to culvert");
	await ask("start culvert");
	await page.waitForSelector('#link[data-link="live"]');
	await page.waitForSelector("#trouble", { state: "hidden" });
}

async function main() {
	const browser = await chromium.launch({ executablePath: "/usr/bin/chromium", args: ["--no-sandbox"] });
	try {
		const page = await open(browser, { viewport: { width: 1440, height: 900 } });
		await ratesMove(page);
		await nothingIsNoNumber(page);
		assert.match(await page.textContent("#about"), new RegExp(`^${mode} · `));
		if (mode === "proxy") {
			await page.waitForSelector('#drops tr[data-reason="completed"]');
			assert.equal(await page.textContent("#drops-title"), "How sessions ended");
		} else {
			await keyboardReaches(page);
			await deathAndReturnAreShown(page);
			await theLedgerTellsOfTheFastPath(browser);
			await pictures(browser);
			assert.deepEqual(complaints, []);
			await theLossOfTheServerIsShown(page);
		}
		assert.deepEqual(complaints, []);
	} finally {
		await browser.close();
	}
}

main().then(() => process.exit(0), (error) => {
	console.error(error);
	process.exit(1);
});
