// The last picks that were explained; what each was weighed against opens.

import { element, setText } from "./charts.js";

const byId = (id) => document.getElementById(id);

export class Picks {
  constructor() {
    this.newest = null;
  }

  /** `picks`: [[sentence, lines]], the newest first. */
  update(picks) {
    const list = byId("picks");
    byId("no-picks").hidden = picks.length > 0;
    // Whoever reads one does not want it to move away.
    const isRead = list.querySelector("[open]") !== null;
    setText(byId("picks-held"), isRead ? "held while one is open" : "");
    const newest = JSON.stringify(picks[0] ?? null);
    if (isRead || newest === this.newest) return;
    this.newest = newest;
    list.replaceChildren(...picks.map(([sentence, lines]) => {
      const one = element("details");
      one.append(element("summary", "", sentence), element("pre", "", lines));
      return one;
    }));
  }
}
