// Called by scripts/pages: node pages.cjs RUN|FILE…
const fs = require("fs");
const path = require("path");
const puppeteer = require("puppeteer-core");
const axe = fs.readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");

const SIZES = { phone: [390, 844], small: [360, 640], screen: [1280, 900] };
const faults = [];

async function look(browser, file, name) {
  const text = fs.readFileSync(file, "utf8");
  if (text.length >= 2e6) faults.push(`${name}: ${text.length} bytes`);
  if (/<script|https?:/.test(text)) faults.push(`${name}: has a script or an address`);
  for (const scheme of ["light", "dark"]) {
    for (const [size, [width, height]] of Object.entries(SIZES)) {
      const page = await browser.newPage();
      page.on("request", (request) => {
        if (!/^(file|data):/.test(request.url())) faults.push(`${name}: asks for ${request.url()}`);
      });
      await page.setJavaScriptEnabled(false);
      await page.setViewport({ width, height, deviceScaleFactor: size === "screen" ? 1 : 2 });
      await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: scheme }]);
      const begin = Date.now();
      await page.goto(`file://${file}`, { waitUntil: "load" });
      const took = Date.now() - begin;
      if (took > 5000) faults.push(`${name}: took ${took} ms to open`);
      if (size !== "small") {
        await page.screenshot({ path: path.join(process.env.OUT, `${name}-${size}-${scheme}.png`), fullPage: true });
      }
      if (scheme === "light" && size === "screen") {
        await page.pdf({ path: path.join(process.env.OUT, `${name}.pdf`), format: "A4" });
      }
      // Only the checks themselves run as scripts.
      await page.setJavaScriptEnabled(true);
      await page.reload({ waitUntil: "load" });
      const [wide, inner] = await page.evaluate(() => [document.documentElement.scrollWidth, window.innerWidth]);
      if (wide > inner) faults.push(`${name}: ${wide} pixels wide on a ${size} of ${inner}`);
      await page.evaluate(axe);
      const found = await page.evaluate(() => window.axe.run(document, { resultTypes: ["violations"] }));
      for (const violation of found.violations) {
        const where = violation.nodes.slice(0, 3).map((node) => node.html.slice(0, 160)).join(" | ");
        faults.push(`${name}, ${size}, ${scheme}: ${violation.id}: ${violation.help}: ${where}`);
      }
      console.log(`${name}, ${size}, ${scheme}: ${found.violations.length} violations, ${found.passes.length} rules pass, opened in ${took} ms`);
      await page.close();
    }
  }
}

// axe-core must find a known violation, otherwise its silence means nothing.
async function control(browser) {
  const page = await browser.newPage();
  await page.setContent('<main><h1>x</h1><img src="data:,"><p style="color:#bbb;background:#fff">faint</p></main>');
  await page.evaluate(axe);
  const found = await page.evaluate(() => window.axe.run(document, { resultTypes: ["violations"] }));
  const ids = found.violations.map((violation) => violation.id);
  for (const id of ["image-alt", "color-contrast", "html-has-lang"]) {
    if (!ids.includes(id)) faults.push(`control: axe-core doesn't find ${id}`);
  }
  await page.close();
}

(async () => {
  const browser = await puppeteer.launch({
    executablePath: process.env.CHROMIUM,
    args: ["--no-sandbox", "--disable-gpu", "--allow-file-access-from-files", "--hide-scrollbars"],
  });
  await control(browser);
  for (const run of process.argv.slice(2)) {
    const file = path.resolve(fs.statSync(run).isDirectory() ? path.join(run, "report.html") : run);
    await look(browser, file, path.basename(run).replace(/\.html$/, ""));
  }
  await browser.close();
  faults.forEach((fault) => console.error(`fault: ${fault}`));
  process.exit(faults.length ? 1 : 0);
})().catch((error) => {
  console.error(error);
  process.exit(1);
});
