// Keeps the page as the server tells it. What a reader has opened stays open, and the focus stays where it was.
"use strict";

const link = document.getElementById("link");

function open_parts() {
  return new Set([...document.querySelectorAll("details[open]")].map((part) => part.id));
}

function show_outline(outline) {
  const toc = document.getElementById("toc");
  const main = document.getElementById("main");
  const here = [...main.querySelectorAll("section")].map((part) => part.id).join("\n");
  if (here === outline.map(([key]) => key).join("\n")) return;
  toc.replaceChildren();
  const known = new Map([...main.children].map((part) => [part.id, part]));
  main.replaceChildren(
    ...outline.map(([key, title, level]) => {
      const item = document.createElement("li");
      item.className = `l${level}`;
      const to = document.createElement("a");
      to.href = `#${key}`;
      to.textContent = title;
      item.append(to);
      toc.append(item);
      return known.get(key) ?? make_section(key, title, level);
    }),
  );
}

function make_section(key, title, level) {
  const section = document.createElement("section");
  section.id = key;
  section.className = `l${level}`;
  section.setAttribute("aria-labelledby", `${key}-title`);
  const heading = document.createElement(`h${level}`);
  heading.id = `${key}-title`;
  heading.textContent = title;
  const body = document.createElement("div");
  body.className = "body";
  section.append(heading, body);
  return section;
}

// The server escapes every foreign text, and the page's policy lets no script run but this file.
function show_sections(sections) {
  const open = open_parts();
  for (const [key, html] of Object.entries(sections)) {
    const body = document.querySelector(`#${CSS.escape(key)} > .body`);
    if (!body || body.innerHTML === html) continue;
    const focus = body.contains(document.activeElement) ? document.activeElement.closest("details")?.id : undefined;
    body.innerHTML = html;
    for (const part of body.querySelectorAll("details")) part.open = open.has(part.id);
    if (focus) document.getElementById(focus)?.querySelector("summary")?.focus();
  }
}

function say(text, lost) {
  if (link.textContent !== text) link.textContent = text;
  link.classList.toggle("lost", lost);
}

const events = new EventSource("events");
events.addEventListener("message", (event) => {
  const { outline, sections, trouble } = JSON.parse(event.data);
  show_outline(outline);
  show_sections(sections);
  say(trouble ?? "live: this page follows the ledger", trouble !== null);
});
events.addEventListener("error", () => say("connection lost, trying again", true));
