// The page of demo.py. It asks for the people once per second and updates their cards in place, by id, so that a name
// that is being typed is never lost. Text about people is always set as text, never as HTML.
"use strict";

const POLL_MS = 1000; // between two requests for the people
const ANSWER_MS = 4000; // until a request is given up
const PENDING_MS = 5000; // for which a request is shown as done before the demo confirms it
const RETRY_MS = 3000; // until the live image is requested again
const STALE_S = 10; // age of the newest image from which the camera counts as silent

const byId = (id) => document.getElementById(id);
const live = byId("live");
const list = byId("people");
const cards = new Map(); // person id -> card
let answered = Date.now(); // time of the last answer
let lost = false; // whether the last request failed
let timer = 0;

history.replaceState(null, "", location.pathname); // hides the token, which is in a cookie by now

// ---- the live image ----

function watch() {
  live.src = `live?${Date.now()}`; // a new address: browsers do not request the old one again
}

live.addEventListener("load", () => { byId("no-image").hidden = true; });
live.addEventListener("error", () => {
  if (!live.getAttribute("src")) return; // the page is hidden
  byId("no-image").textContent = "No live image; too many viewers? Trying again.";
  byId("no-image").hidden = false;
  setTimeout(watch, RETRY_MS);
});

// ---- the people ----

function setState(state, text) {
  const line = byId("state");
  if (line.textContent !== text) line.textContent = text; // screen readers announce changes
  line.dataset.state = state;
  document.body.classList.toggle("lost", state === "lost");
}

async function poll() {
  clearTimeout(timer);
  try {
    const response = await send("people");
    if (response.ok) {
      const people = await response.json();
      const gap = Date.now() - answered > ANSWER_MS + POLL_MS; // this computer was asleep
      if (gap || lost) watch(); // a page is not told that its live image has ended
      lost = false;
      answered = Date.now();
      show(people);
    } else {
      lost = true;
      setState("lost", (await response.text()).trim());
    }
  } catch {
    lost = true;
    setState("lost", "The demo has ended or cannot be reached; trying again.");
  }
  clearTimeout(timer);
  if (!document.hidden) timer = setTimeout(poll, POLL_MS);
}

async function send(path, content) {
  const abort = new AbortController();
  const late = setTimeout(() => abort.abort(), ANSWER_MS);
  const options = { signal: abort.signal, cache: "no-store" };
  if (content) {
    options.method = "POST";
    options.headers = { "Content-Type": "application/json" };
    options.body = JSON.stringify(content);
  }
  try {
    return await fetch(path, options);
  } finally {
    clearTimeout(late);
  }
}

function show({ image_age: age, people, places = [] }) {
  if (age > STALE_S) people.forEach((person) => { person.present = false; });
  byId("count").textContent = `${people.filter((person) => person.present).length} here now · ${people.length} known`;
  if (age === null) setState("waiting", "Waiting for the camera");
  else if (age > STALE_S) setState("lost", `No image from the camera for ${span(age)}.`);
  else setState("live", "Live");
  showPlaces(places);
  byId("nobody").hidden = people.length > 0;
  const ids = new Set(people.map((person) => person.person_id));
  for (const [id, card] of cards) {
    if (ids.has(id)) continue;
    card.element.remove();
    cards.delete(id);
  }
  for (const person of people) {
    if (!cards.has(person.person_id)) cards.set(person.person_id, addCard(person.person_id));
    cards.get(person.person_id).update(person);
  }
  sort(people);
}

// Lines and zones: one row each, in the order of the options.
function showPlaces(places) {
  const table = byId("places");
  table.hidden = places.length === 0;
  table.replaceChildren(...places.map((place) => {
    const row = document.createElement("li");
    const people = (count) => `${count} ${count === 1 ? "person" : "people"}`;
    const here = (place.here || []).map(({ person, seconds }) => `${person || "unknown"} ${span(seconds)}`);
    row.textContent = place.kind === "line"
      ? `${place.name}: ${place.in} in (${people(place.people_in)}), ${place.out} out (${people(place.people_out)})`
      : `${place.name}: ${people(place.inside)} inside${here.length ? ` (${here.join(", ")})` : ""}`;
    return row;
  }));
}

// People who are present come first, then those seen last. Nothing moves while the user points or types there.
function sort(people) {
  const pointed = matchMedia("(hover: hover)").matches && list.matches(":hover");
  if (pointed || list.contains(document.activeElement)) return;
  people.sort((a, b) => b.present - a.present
    || (a.present ? 0 : a.seconds_ago - b.seconds_ago) || a.person_id - b.person_id);
  people.forEach((person, place) => {
    const { element } = cards.get(person.person_id);
    if (list.children[place] !== element) list.insertBefore(element, list.children[place] || null);
  });
}

function span(seconds) {
  if (seconds < 60) return `${Math.round(seconds)} s`;
  if (seconds < 3600) return `${Math.round(seconds / 60)} min`;
  return `${Math.round(seconds / 3600)} h`;
}

// ---- a card ----

function addCard(id) {
  const element = byId("card").content.firstElementChild.cloneNode(true);
  const part = (selector) => element.querySelector(selector);
  const field = part("input");
  const crop = part(".crop");
  let name = null; // as displayed
  let pending = null; // a name that was sent and that the demo has not confirmed yet

  element.dataset.personId = id;
  field.setAttribute("aria-label", `Name of person ${id}`);
  list.append(element);

  const isEdited = () => field.value.trim() !== "" && field.value.trim() !== (name || "");
  const updateButton = () => { part("[type=submit]").disabled = !isEdited(); };
  const showProblem = (text) => {
    part(".problem").textContent = text;
    part(".problem").hidden = !text;
  };

  async function request(path, content) {
    showProblem("");
    try {
      const response = await send(path, { person_id: id, ...content });
      if (response.ok) return true;
      showProblem((await response.text()).trim());
    } catch {
      showProblem("The demo cannot be reached: nothing was changed.");
    }
    return false;
  }

  function setName(newName) {
    const untouched = !isEdited() && document.activeElement !== field;
    name = newName;
    if (untouched) field.value = name || "";
    const label = name || `Person ${id}`;
    part(".who").textContent = label;
    part(".number").textContent = name ? `#${id}` : "";
    crop.alt = `Best image of ${label}`;
    part(".forget").setAttribute("aria-label", `Forget ${label}`);
    part(".question").textContent = `Forget ${label}? This cannot be undone.`;
    updateButton();
  }

  function confirmForget(open) {
    part(".sure").hidden = !open;
    part(".naming").hidden = open;
    part(open ? ".no" : ".forget").focus(); // pressing the same key twice forgets nobody
  }

  crop.addEventListener("load", () => { crop.hidden = false; });
  field.addEventListener("input", () => { showProblem(""); updateButton(); });
  part(".naming").addEventListener("submit", async (event) => {
    event.preventDefault();
    const newName = field.value.trim();
    if (!isEdited() || !(await request("name", { name: newName }))) return;
    pending = { name: newName, until: Date.now() + PENDING_MS };
    setName(newName);
    field.blur(); // closes the keyboard of a phone
  });
  part(".forget").addEventListener("click", () => confirmForget(true));
  part(".no").addEventListener("click", () => confirmForget(false));
  part(".yes").addEventListener("click", async () => {
    if (!(await request("forget", {}))) return;
    element.classList.add("leaving");
    document.activeElement.blur();
    setTimeout(() => element.classList.remove("leaving"), PENDING_MS);
  });

  function update(person) {
    if (pending && (person.name === pending.name || Date.now() > pending.until)) pending = null;
    setName(pending ? pending.name : person.name);
    element.style.setProperty("--color", person.color);
    element.classList.toggle("away", !person.present);
    part(".when").textContent = person.present ? "here now" : `${span(person.seconds_ago)} ago`;
    part(".when").classList.toggle("here", person.present);
    part(".camera").textContent = person.camera && ` · ${person.camera}`;
    const share = Math.min(Math.max(person.similarity || 0, 0), 1);
    part(".value").textContent = person.similarity === null ? "new" : person.similarity.toFixed(2);
    part(".bar").setAttribute("aria-valuenow", share.toFixed(2));
    part(".bar i").style.width = `${100 * share}%`;
    if (person.crop && crop.getAttribute("src") !== person.crop) crop.src = person.crop;
  }

  return { element, update };
}

// ---- start, and pause while the page is hidden ----

function start() {
  watch();
  poll();
}

document.addEventListener("visibilitychange", () => {
  if (!document.hidden) return start();
  clearTimeout(timer);
  live.removeAttribute("src");
});
start();
