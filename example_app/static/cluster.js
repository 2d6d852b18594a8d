// Says which node serves this page. Where there are several, the page goes on at another one when
// its own dies, and any of them can be killed to watch that.

const element = (id) => document.getElementById(id);
const LOOK_INTERVAL = 1_000;

let nodes = {};
let origin = location.origin;
let left;

export function address(path) {
  return new URL(path, origin);
}

// Move on to the next node, where there is another.
export function goElsewhere() {
  const origins = Object.values(nodes);
  if (origins.length < 2) return;
  left ??= nameOf(origin);
  origin = origins[(origins.indexOf(origin) + 1) % origins.length];
}

// Tell where the stream goes on, and whether the server has proven that nothing is missing.
export async function arrived(resumed) {
  const { name, process } = await state(origin);
  element("node").textContent = `Served by ${name}, process ${process}`;
  if (left === undefined) return;
  const proof = resumed ? "nothing was missed" : "some events were gone, so the page was reloaded";
  element("moved").textContent = `Node ${left} went away. Went on at node ${name}: ${proof}.`;
  left = undefined;
}

export async function load() {
  ({ nodes } = await state(origin));
  if (Object.keys(nodes).length < 2) return;
  for (const [name, url] of Object.entries(nodes)) showNode(name, url);
  look();
  setInterval(look, LOOK_INTERVAL);
}

function showNode(name, url) {
  const item = document.createElement("li");
  item.dataset.name = name;
  const link = document.createElement("a");
  link.href = url;
  link.textContent = `Node ${name}`;
  const kill = document.createElement("button");
  kill.type = "button";
  kill.textContent = "Kill";
  kill.setAttribute("aria-label", `Kill node ${name}`);
  kill.onclick = () => {
    if (item.dataset.state === "down") return;
    // the answer never comes: the process dies before it could send one
    fetch(`${url}/node/kill`, { method: "POST" }).catch(look);
  };
  item.append(link, kill);
  element("nodes").append(item);
}

async function look() {
  for (const item of element("nodes").children) {
    const url = nodes[item.dataset.name];
    const isUp = await state(url).then(() => true, () => false);
    item.dataset.state = isUp ? "up" : "down";
    // not `disabled`, which would take the focus from who has just pressed it
    item.querySelector("button").ariaDisabled = String(!isUp);
    item.ariaCurrent = String(url === origin);
  }
}

async function state(url) {
  return (await fetch(`${url}/node`)).json();
}

function nameOf(url) {
  return Object.keys(nodes).find((name) => nodes[name] === url) ?? url;
}
