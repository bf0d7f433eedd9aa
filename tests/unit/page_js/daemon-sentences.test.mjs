import assert from "node:assert/strict";
import { test } from "node:test";
import { DaemonSentences } from "../../../src/cutoutd/page/static/js/core/daemon-sentences.js";

const ENGLISH = {
  "app.title": "cutoutd",
  "said.early": "its picture data ends too early",
  "said.early_why": "its picture data ends too early ({why})",
  "said.system": "the system says: {why}",
  "said.denied": "Permission denied",
  "said.retry": "The original is untouched. `cutoutd retry` tries it again.",
  "said.gone": "it is gone{rest}",
  "said.job": "job {job}: {why}",
  "said.seems": "it seems to be {seems}",
  "said.kind.text": "a text file",
  "said.reason.small": "subject very small",
  "said.reason.page": "a page or a wall",
};
const GERMAN = {
  "said.early": "zu kurz",
  "said.early_why": "zu kurz ({why})",
  "said.system": "Das System meldet: {why}",
  "said.denied": "Zugriff verweigert",
  "said.retry": "Unberührt. Noch einmal: „cutoutd retry“.",
  "said.gone": "weg{rest}",
  "said.job": "Auftrag {job}: {why}",
  "said.seems": "offenbar: {seems}",
  "said.kind.text": "eine Textdatei",
  "said.reason.small": "klein",
  "said.reason.page": "Wand",
};
const inGerman = (key, named) => GERMAN[key].replace(/\{(\w+)\}/g, (_, name) => named[name]);
const sentences = new DaemonSentences(ENGLISH, inGerman);

test("a sentence is told in the page's language with its values, which may be sentences", () => {
  assert.equal(sentences.in("its picture data ends too early"), "zu kurz");
  assert.equal(sentences.in("its picture data ends too early (EOF)"), "zu kurz (EOF)");
  assert.equal(sentences.in("job 7: the system says: Permission denied"), "Auftrag 7: Das System meldet: Zugriff verweigert");
  assert.equal(sentences.in("it is gone"), "weg");
});

test("several sentences, a list of reasons, and the path of a file before them", () => {
  assert.equal(sentences.in("subject very small; a page or a wall"), "klein; Wand");
  const cause = "its picture data ends too early. The original is untouched. `cutoutd retry` tries it again.";
  assert.equal(sentences.in(cause), "zu kurz. Unberührt. Noch einmal: „cutoutd retry“.");
  assert.equal(sentences.in(`/home/me/a.jpg: ${cause}`), "/home/me/a.jpg: zu kurz. Unberührt. Noch einmal: „cutoutd retry“.");
});

test("what is not known stays whole, so that nothing is in two languages", () => {
  for (const text of ["something new", "its picture data ends too early. Something new.", "cutoutd", "subject very small; new", "a.*b (c"]) {
    assert.equal(sentences.in(text), text);
  }
  assert.equal(sentences.in(undefined), "");
});

test("a sentence may be about one of several results", () => {
  for (const what of ["PNG", 'JPEG "_web"', 'WebP "_x" in shop/main/', "/srv/a b.jpg"]) assert.equal(sentences.in(`${what}: it is gone`), `${what}: weg`);
});

test("what a file seems to be is translated within its sentence", () => {
  assert.equal(sentences.in("it seems to be a text file"), "offenbar: eine Textdatei");
});
