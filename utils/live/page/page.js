// The page of demo.py: asks for the people once a second and changes their cards in place, by number, so that nobody
// loses what they are typing. Everything that comes from people is set as text, never as markup.
"use strict";

const ASK_EVERY = 1000; // milliseconds between two looks at the people
const ANSWER_WITHIN = 4000;
const BELIEVE_FOR = 5000; // how long an order is shown as done before the demo has said so
const OLD_AFTER = 10; // seconds after which a camera that gives no picture is worth a line

const byId = (id) => document.getElementById(id);
const live = byId("live");
const list = byId("people");
const cards = new Map(); // number -> card
let viewer = ""; // what this page calls itself when it asks for the live picture
let watched = 0; // when it did
let timer = 0;

history.replaceState(null, "", location.pathname); // the token is in a cookie by now, and out of sight

// ---- the live picture ----

function watch() {
  watched = Date.now();
  viewer = `${watched}-${Math.random().toString(36).slice(2)}`; // new, as a browser asks no old address again
  live.src = `live?${viewer}`;
}

live.addEventListener("load", () => { byId("no-picture").hidden = true; });

function watchAgain(watching) {
  if (watching || Date.now() - watched < 3 * ASK_EVERY) return;
  byId("no-picture").textContent = "The live picture does not come; too many viewers? Trying again.";
  byId("no-picture").hidden = live.naturalWidth > 0;
  watch();
}

// ---- what the demo says ----

function say(state, words) {
  const line = byId("state");
  if (line.textContent !== words) line.textContent = words; // read aloud when it changes
  line.dataset.state = state;
  document.body.classList.toggle("lost", state === "lost");
}

async function ask() {
  clearTimeout(timer);
  try {
    const response = await send(`people?${viewer}`);
    if (response.ok) show(await response.json());
    else say("lost", (await response.text()).trim());
  } catch {
    say("lost", "The demo has ended or cannot be reached; trying again.");
  }
  clearTimeout(timer);
  if (!document.hidden) timer = setTimeout(ask, ASK_EVERY);
}

async function send(path, order) {
  const stop = new AbortController();
  const late = setTimeout(() => stop.abort(), ANSWER_WITHIN);
  const options = { signal: stop.signal, cache: "no-store" };
  if (order) {
    options.method = "POST";
    options.headers = { "Content-Type": "application/json" };
    options.body = JSON.stringify(order);
  }
  try {
    return await fetch(path, options);
  } finally {
    clearTimeout(late);
  }
}

function show(news) {
  if (news.picture_age > OLD_AFTER) news.people.forEach((person) => { person.present = false; });
  const here = news.people.filter((person) => person.present).length;
  byId("count").textContent = `${here} here now · ${news.people.length} known`;
  if (news.picture_age === null) say("waiting", "Waiting for the camera");
  else if (news.picture_age > OLD_AFTER) say("lost", `No picture from the camera since ${clock(news.picture_age)}.`);
  else say("live", "Live");
  watchAgain(news.watching);
  byId("nobody").hidden = news.people.length > 0;
  const numbers = new Set(news.people.map((person) => person.number));
  for (const [number, card] of cards) {
    if (!numbers.has(number)) {
      card.element.remove();
      cards.delete(number);
    }
  }
  for (const person of news.people) {
    if (!cards.has(person.number)) cards.set(person.number, addCard(person.number));
    cards.get(person.number).update(person);
  }
  sort(news.people);
}

// Present ones first, then those seen last; not while a hand is on the list, since nothing may jump away under it.
function sort(people) {
  const pointed = matchMedia("(hover: hover)").matches && list.matches(":hover");
  if (pointed || list.contains(document.activeElement)) return;
  const wanted = [...people].sort((a, b) =>
    b.present - a.present || (a.present ? 0 : a.seconds_ago - b.seconds_ago) || a.number - b.number);
  wanted.forEach((person, place) => {
    const { element } = cards.get(person.number);
    if (list.children[place] !== element) list.insertBefore(element, list.children[place] || null);
  });
}

function span(seconds) {
  if (seconds < 60) return `${Math.round(seconds)} s`;
  if (seconds < 3600) return `${Math.round(seconds / 60)} min`;
  return `${Math.round(seconds / 3600)} h`;
}

function clock(secondsAgo) {
  return new Date(Date.now() - 1000 * secondsAgo).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
}

// ---- a card ----

function addCard(number) {
  const element = byId("card").content.firstElementChild.cloneNode(true);
  const part = (selector) => element.querySelector(selector);
  const field = part("input");
  const crop = part(".crop");
  let name = null; // as shown
  let believed = null; // a name that was sent, until the demo has it too

  element.dataset.number = number;
  field.setAttribute("aria-label", `Name of person ${number}`);
  field.placeholder = "Who is this?";
  list.append(element);

  const called = () => name || `Person ${number}`;
  const changed = () => field.value.trim() !== "" && field.value.trim() !== (name || "");
  const mark = () => { part("[type=submit]").disabled = !changed(); };
  const complain = (words) => {
    part(".problem").textContent = words;
    part(".problem").hidden = !words;
  };

  async function order(path, wish) {
    complain("");
    try {
      const response = await send(path, { number, ...wish });
      if (response.ok) return true;
      complain((await response.text()).trim());
    } catch {
      complain("The demo cannot be reached: nothing was changed.");
    }
    return false;
  }

  function setName(newName) {
    const untouched = !changed() && document.activeElement !== field;
    name = newName;
    if (untouched) field.value = name || "";
    part(".who").textContent = called();
    part(".number").textContent = name ? `#${number}` : "";
    crop.alt = `Best picture of ${called()}`;
    part(".forget").setAttribute("aria-label", `Forget ${called()}`);
    part(".question").textContent = `Forget ${called()}? This cannot be undone.`;
    mark();
  }

  function askForSure(sure) {
    part(".sure").hidden = !sure;
    part(".naming").hidden = sure;
    part(sure ? ".no" : ".forget").focus(); // a second press of the same key forgets nobody
  }

  function forgetCrop() {
    crop.hidden = true;
    crop.removeAttribute("src"); // so that the next look asks for it again
  }

  crop.addEventListener("load", () => { crop.hidden = false; });
  crop.addEventListener("error", forgetCrop);
  field.addEventListener("input", () => { complain(""); mark(); });
  field.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    field.value = name || "";
    complain("");
    mark();
  });
  part(".naming").addEventListener("submit", async (event) => {
    event.preventDefault();
    const wish = field.value.trim();
    if (!changed() || !(await order("name", { name: wish }))) return;
    believed = { name: wish, until: Date.now() + BELIEVE_FOR };
    setName(wish);
    field.blur(); // puts a phone's keyboard away
  });
  part(".forget").addEventListener("click", () => askForSure(true));
  part(".no").addEventListener("click", () => askForSure(false));
  part(".sure").addEventListener("keydown", (event) => { if (event.key === "Escape") askForSure(false); });
  part(".yes").addEventListener("click", async () => {
    if (!(await order("forget", {}))) return;
    element.classList.add("leaving");
    document.activeElement.blur();
    setTimeout(() => element.classList.remove("leaving"), BELIEVE_FOR);
  });

  function update(person) {
    if (believed && (person.name === believed.name || Date.now() > believed.until)) believed = null;
    setName(believed ? believed.name : person.name);
    element.style.setProperty("--colour", person.colour);
    element.classList.toggle("away", !person.present);
    part(".when").textContent = person.present ? "here now" : `${span(person.seconds_ago)} ago`;
    part(".when").classList.toggle("here", person.present);
    part(".camera").textContent = person.camera && ` · ${person.camera}`;
    const known = person.similarity !== null;
    part(".value").textContent = known ? person.similarity.toFixed(2) : "new";
    part(".bar").setAttribute("aria-valuenow", known ? Math.max(person.similarity, 0).toFixed(2) : "0");
    part(".bar i").style.width = known ? `${100 * Math.min(Math.max(person.similarity, 0), 1)}%` : "0";
    if (person.crop && crop.getAttribute("src") !== person.crop) crop.src = person.crop;
    if (!person.crop) forgetCrop();
  }

  return { element, update };
}

// ---- begin, and rest while nobody looks ----

document.addEventListener("visibilitychange", () => {
  if (document.hidden) {
    clearTimeout(timer);
    live.removeAttribute("src");
  } else {
    watch();
    ask();
  }
});
watch();
ask();
