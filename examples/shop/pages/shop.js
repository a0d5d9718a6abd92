// SPDX-License-Identifier: Apache-2.0
// The page is whole without this file: it only saves reloads and draws who answers.

// Forms are sent as a browser would, and the page that comes back replaces the part that changed.
document.addEventListener("submit", async (event) => {
  const form = event.target;
  event.preventDefault();
  const button = form.querySelector("button");
  button.disabled = true;
  try {
    const body = new URLSearchParams(new FormData(form));
    const answer = await fetch(form.action, { method: "POST", body, headers: { accept: "text/html" } });
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    if (!answer.ok || !page.querySelector("main")) throw new Error(`status ${answer.status}`);
    const focused = document.activeElement && document.activeElement.id;
    for (const part of ["main", "nav"]) document.querySelector(part).replaceWith(page.querySelector(part));
    prepare();
    if (focused) document.getElementById(focused)?.focus();
  } catch (error) {
    form.submit(); // Let the browser show what happened.
  }
});

// Asks one after the other, so that the balancing of quiet times shows.
async function spread(button) {
  const counts = new Map();
  button.disabled = true;
  for (let asked = 0; asked < 40; asked += 1) {
    const answer = await fetch(button.dataset.spread, { cache: "no-store" });
    const who = `${answer.headers.get("x-served-by") ?? "nobody"} ${answer.headers.get("x-zone") ?? ""}`;
    counts.set(who, (counts.get(who) ?? 0) + 1);
  }
  const bars = button.parentElement.querySelector(".bars");
  const most = Math.max(...counts.values());
  bars.replaceChildren(...[...counts].sort().map(([who, count]) => bar(who, count, most)));
  button.disabled = false;
}

function bar(who, count, most) {
  const row = document.createElement("li");
  const label = document.createElement("span");
  const meter = document.createElement("meter");
  const number = document.createElement("span");
  label.textContent = who;
  number.textContent = String(count);
  Object.assign(meter, { min: 0, max: most, value: count });
  meter.setAttribute("aria-label", `${who} answered ${count} of 40`);
  row.append(label, meter, number);
  return row;
}

// An order's status comes as it changes, over a WebSocket; where there are none, it is asked for.
function follow(place) {
  const path = `/orders/${place.dataset.order}/status`;
  const show = ({ status }) => {
    place.textContent = status;
    place.classList.toggle("sent", status === "sent");
  };
  let opened = false;
  const socket = new WebSocket(`${location.origin.replace(/^http/, "ws")}${path}`);
  socket.onmessage = (message) => { opened = true; show(JSON.parse(message.data)); };
  socket.onclose = async () => {
    if (place.textContent === "sent" || !place.isConnected) return;
    if (!opened) {
      const answer = await fetch(path, { cache: "no-store" });
      if (answer.ok) show(await answer.json());
    }
    // The instance that told us went away, or there is no WebSocket: once more, and another may tell.
    setTimeout(() => follow(place), 1000);
  };
}

function prepare() {
  for (const place of document.querySelectorAll("[data-order]")) {
    if (place.textContent === "sent") place.classList.add("sent");
    else follow(place);
  }
  document.querySelector(".spread").hidden = false;
  document.querySelector("[data-spread]").addEventListener("click", (event) => spread(event.currentTarget));
}
prepare();
