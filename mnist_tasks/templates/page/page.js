"use strict";

// The theme that is chosen in Airflow's UI (it keeps it under this key), else the system's. Before the first paint.
const system = matchMedia("(prefers-color-scheme: dark)");

function followTheme() {
  let chosen = null;
  try {
    chosen = localStorage.getItem("theme");
  } catch {
    // A browser that forbids storage: the system's theme it is.
  }
  const named = chosen === "dark" || chosen === "light";
  document.documentElement.dataset.theme = named ? chosen : system.matches ? "dark" : "light";
}

followTheme();
system.addEventListener("change", followTheme);
addEventListener("storage", followTheme); // comes when another document of this origin, Airflow's UI, changes it

// Asks for the page's content again, as long as it can change, and exchanges the sections that are different.
const sections = new Map(); // by id, as the server sent them: what a reader has opened does not count as a difference
let told = 0;

function remember(main) {
  sections.clear();
  for (const section of main.children) sections.set(section.id, section.outerHTML);
}

function exchange(main, fresh) {
  const names = [...fresh.children].map((section) => section.id);
  if (names.join() !== [...sections.keys()].join()) {
    main.replaceChildren(...fresh.cloneNode(true).children);
  } else {
    for (const section of fresh.children) {
      if (section.outerHTML === sections.get(section.id)) continue;
      const old = document.getElementById(section.id);
      const kept = section.cloneNode(true);
      for (const open of old.querySelectorAll("details[open][id]")) {
        kept.querySelector(`details[id="${open.id}"]`)?.setAttribute("open", "");
      }
      const focused = old.contains(document.activeElement) ? document.activeElement.id : "";
      old.replaceWith(kept);
      if (focused) document.getElementById(focused)?.focus({ preventScroll: true });
    }
  }
  main.dataset.refresh = fresh.dataset.refresh;
  main.dataset.news = fresh.dataset.news;
  remember(fresh);
}

function tell(main) {
  // A screen reader is told the newest figures now and then, not at every one.
  const news = document.getElementById("news");
  if (Date.now() - told < 10000 || news.textContent === main.dataset.news) return;
  told = Date.now();
  news.textContent = main.dataset.news;
}

async function refresh() {
  const main = document.querySelector("main");
  const notice = document.getElementById("offline");
  const address = new URL(location.href);
  address.searchParams.set("part", "main");
  try {
    const answer = await fetch(address, { cache: "no-store", signal: AbortSignal.timeout(20000) });
    if (answer.status >= 500) throw new Error(`status ${answer.status}`);
    const parsed = new DOMParser().parseFromString(await answer.text(), "text/html");
    exchange(main, parsed.querySelector("main"));
    tell(main);
    notice.hidden = true;
  } catch {
    notice.hidden = false;
  }
  schedule(main, notice.hidden ? 1 : 3);
}

function schedule(main, factor) {
  const seconds = Number(main.dataset.refresh);
  if (!seconds) return;
  setTimeout(() => {
    // A page that nobody sees asks for nothing; it catches up when it is seen again.
    if (!document.hidden) refresh();
    else document.addEventListener("visibilitychange", refresh, { once: true });
  }, seconds * factor * 1000);
}

addEventListener("DOMContentLoaded", () => {
  const main = document.querySelector("main");
  if (!main) return;
  remember(main);
  schedule(main, 1);
});
