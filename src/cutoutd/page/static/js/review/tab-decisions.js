/** The decisions of this tab. They outlive the view: coming back from Fix finds what can be undone, a reload what had no answer. */

import { isUp, on, write } from "../core/api.js";
import { StoredValue } from "../core/stored-value.js";
import { keepUnsaved } from "../core/unsaved-work.js";
import { DecisionQueue } from "./decision-queue.js";

const AGAIN_MS = 5000; // between two tries to send a decision

export const decisions = new DecisionQueue(write, new StoredValue(sessionStorage, "cutoutd-decisions", []));

keepUnsaved(() => decisions.canUndo, { asks: false }); // Ctrl+Z would find nothing
addEventListener("pagehide", () => decisions.leave());
on("connection", ({ up }) => up && decisions.retry());
if (isUp()) decisions.retry(); // what was kept over a reload: the connection may have been there before this script
decisions.addEventListener("waiting", () => setTimeout(() => decisions.retry(), AGAIN_MS));
