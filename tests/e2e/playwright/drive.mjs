// A browser page driven by lines of JSON: {"on": "page" | "keyboard" | a selector, "method", "args"} in,
// {"value"} or {"error"} out. The methods are Playwright's; a selector means the first element that it matches.
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

const [parts, executablePath] = process.argv.slice(2);
const { chromium } = createRequire(join(parts, 'package.json'))('playwright-core');
const args = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking'];
args.push('--disable-component-update', '--disable-sync');
const browser = await chromium.launch({ executablePath, args });
const page = await browser.newPage({ viewport: { width: 960, height: 540 } });
page.setDefaultTimeout(30_000);
for await (const line of createInterface({ input: process.stdin })) {
  const { on, method, args } = JSON.parse(line);
  const target = on === 'page' ? page : on === 'keyboard' ? page.keyboard : page.locator(on).first();
  const answer = await target[method](...args).then(
    (value) => ({ value: ['string', 'number', 'boolean'].includes(typeof value) ? value : null }),
    (error) => ({ error: error.message }),
  );
  process.stdout.write(JSON.stringify(answer) + '\n');
}
await browser.close();
