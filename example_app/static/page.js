// One stream keeps the whole page up to date; posting and voting are plain requests.

import { connect } from "fastapi-sse-channels";
import * as cluster from "/static/cluster.js";

const discussionId = location.pathname.split("/").at(-1);
const resource = `/discussions/${discussionId}`;
const element = (id) => document.getElementById(id);
const list = element("comments");

// -- the stream ---------------------------------------------------------------------------------

function listen() {
  connect(`${resource}/events`, {
    onEvent: (event) => handlers[event.type]?.(event),
    // Something was missed and cannot be replayed: a snapshot follows and replaces what is shown.
    onReset: () => list.replaceChildren(),
    onStatus({ state, reason, resumed }) {
      showConnection(state);
      if (state === "open") cluster.arrived(resumed);
      // A node that was killed may never come back, so do not wait for it.
      if (state === "waiting" && reason !== "hidden") cluster.goElsewhere();
    },
    // each attempt is made where the page is by then
    fetch: ({ pathname, search }, init) => fetch(cluster.address(pathname + search), init),
    lastEventIdVia: "query",
  });
}

const WORDS = { open: "live", waiting: "reconnecting", connecting: "reconnecting", closed: "ended" };

const handlers = {
  snapshot({ comments, viewers }) {
    list.replaceChildren();
    for (const comment of comments) showComment(comment);
    showViewers(viewers);
    element("empty").hidden = comments.length > 0;
  },
  "comment-added"({ comment }) {
    showComment(comment).classList.add("new");
    element("empty").hidden = true;
  },
  "votes-changed"({ comment_id, up, down }) {
    const item = commentItem(comment_id);
    // comments that are no longer shown get votes too
    if (item) showVotes(item, { up, down });
  },
  "viewers-changed"({ viewers }) {
    showViewers(viewers);
  },
};

// -- what is shown; everything that people wrote goes through textContent -----------------------

function commentItem(id) {
  return list.querySelector(`:scope > [data-id="${id}"]`);
}

function showComment(comment) {
  // a comment can be in the snapshot and in an event published just before it was read
  const item = commentItem(comment.id) ?? addItem(comment);
  showVotes(item, comment);
  return item;
}

function addItem({ id, author, text, posted_at }) {
  const item = element("comment").content.cloneNode(true).firstElementChild;
  item.dataset.id = id;
  item.querySelector(".author").textContent = author;
  item.querySelector(".text").textContent = text;
  showAvatar(item.querySelector(".avatar"), author);
  const time = item.querySelector("time");
  time.dateTime = new Date(posted_at * 1000).toISOString();
  time.title = new Date(posted_at * 1000).toLocaleString();
  showAge(time);
  for (const button of item.querySelectorAll(".vote")) {
    button.onclick = () => send(`/comments/${id}/votes`, { direction: button.dataset.direction });
  }
  const older = [...list.children].find((other) => Number(other.dataset.id) < id);
  list.insertBefore(item, older ?? null);
  return item;
}

const stillness = matchMedia("(prefers-reduced-motion: reduce)");

function showVotes(item, counts) {
  for (const button of item.querySelectorAll(".vote")) {
    const shown = button.querySelector(".count");
    const { direction } = button.dataset;
    const count = counts[direction];
    // counts only grow, so a smaller one is older than what is shown
    if (count <= Number(shown.textContent)) continue;
    shown.textContent = count;
    button.setAttribute("aria-label", `Vote ${direction}, ${count} so far`);
    if (!stillness.matches) shown.animate([{ transform: "scale(1.6)" }, { transform: "none" }], 250);
  }
}

function showViewers(count) {
  element("viewers").hidden = false;
  element("viewers").textContent = count === 1 ? "1 user viewing" : `${count} users viewing`;
}

function showConnection(state) {
  element("connection").dataset.state = state;
  element("connection").textContent = WORDS[state];
}

function showAvatar(avatar, name) {
  const hue = [...name].reduce((sum, character) => sum * 31 + character.codePointAt(0), 7) % 360;
  avatar.style.setProperty("--hue", hue);
  avatar.textContent = [...name.trim()][0]?.toUpperCase() ?? "?";
}

function showAge(time) {
  const minutes = Math.round((Date.now() - Date.parse(time.dateTime)) / 60_000);
  const [age, unit] =
    minutes < 60 ? [minutes, "minute"]
    : minutes < 1440 ? [Math.round(minutes / 60), "hour"]
    : [Math.round(minutes / 1440), "day"];
  const format = new Intl.RelativeTimeFormat("en", { numeric: "auto", style: "short" });
  time.textContent = age < 1 ? "just now" : format.format(-age, unit);
}

setInterval(() => document.querySelectorAll("time").forEach(showAge), 30_000);

// -- what the visitor does ----------------------------------------------------------------------

async function send(path, body) {
  element("problem").textContent = "";
  try {
    const response = await fetch(cluster.address(resource + path), {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(body),
    });
    if (response.ok) return true;
  } catch {
    // no connection: the same message
  }
  element("problem").textContent = "That did not reach the server. Try again.";
  return false;
}

const author = element("author");
const text = element("text");
const guests = ["Otter", "Heron", "Lynx", "Marten", "Finch", "Badger", "Swift", "Hare"];
// each tab is somebody else, so that one person can try the page with two windows
author.value =
  sessionStorage.getItem("author") ?? guests[Math.floor(Math.random() * guests.length)];
author.oninput = () => {
  sessionStorage.setItem("author", author.value);
  showAvatar(element("own-avatar"), author.value);
};
author.oninput();

text.onkeydown = (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  element("composer").requestSubmit();
};

element("composer").onsubmit = async (event) => {
  event.preventDefault();
  const comment = { author: author.value, text: text.value };
  if (await send("/comments", comment)) text.value = "";
};

const titles = await (await fetch("/discussions")).json();
await cluster.load();
element("title").textContent = titles[discussionId];
document.title = `${titles[discussionId]} · Live discussions`;
for (const [id, title] of Object.entries(titles)) {
  const link = document.createElement("a");
  link.href = `/discussions/${id}`;
  link.textContent = title;
  if (id === discussionId) link.setAttribute("aria-current", "page");
  element("discussions").append(link);
}

listen();
