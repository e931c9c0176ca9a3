// A pool's own part of the page: its policy and its charts.

import { setPolicy } from "./balancer.js";
import { Chart, count, element, fraction, latency, setText } from "./charts.js";

const byId = (id) => document.getElementById(id);

const CHARTS = [
  { title: "Calls a second", lines: [["calls", "calls"]], format: count },
  { title: "Errors a second", lines: [["failures", "failures"]], format: count },
  { title: "Latency", lines: [["p50_us", "p50"], ["p99_us", "p99"]], format: latency, least: 100 },
  { title: "Calls under way", lines: [["in_flight", "in-flight"]], format: count },
  { title: "Fairness (1: all alike)", lines: [["fairness", "fairness"]], format: fraction, most: 1 },
];

export class Pool {
  /** `said`: tells the operator what came of it; `changed`: there is something new to ask for. */
  constructor(said, changed) {
    Object.assign(this, { said, changed, shown: null, policy: null, isTouched: false });
    this.charts = CHARTS.map(({ lines, ...chart }) => ({
      keys: lines.map(([key]) => key),
      chart: new Chart({ ...chart, lines: lines.map(([, look]) => ({ name: look, look })) }),
    }));
    byId("charts").append(...this.charts.map(({ chart }) => chart.figure));
    this.name = byId("policy-name");
    this.parameters = byId("policy-parameters");
    this.button = byId("policy-switch");
    for (const field of [this.name, this.parameters]) {
      field.addEventListener("input", () => this.touch());
    }
    this.name.addEventListener("change", () => {
      // Another policy has other parameters.
      this.parameters.value = this.name.value === this.policy.split(":")[0] ? rest(this.policy) : "";
      this.touch();
    });
    byId("policy").addEventListener("submit", (event) => {
      event.preventDefault();
      this.switch();
    });
  }

  update(pool, policies) {
    if (pool.name !== this.shown) {
      Object.assign(this, { shown: pool.name, isTouched: false });
    }
    setText(byId("pool-name"), pool.name);
    this.policy = pool.policy;
    this.policies = policies;
    if (this.name.options.length !== policies.length) {
      this.name.replaceChildren(...policies.map(({ name }) => element("option", "", name)));
    }
    if (!this.isTouched) {
      this.name.value = pool.policy.split(":")[0];
      this.parameters.value = rest(pool.policy);
    }
    this.button.disabled = this.wanted() === this.policy;
    this.help();
    const shares = pool.regimes.filter(([name]) => name);
    const picks = shares.map(([name, share]) => `${(share * 100).toFixed(1)}% ${name}`).join(", ");
    setText(byId("regimes"), picks ? `Picks: ${picks}` : "\u00a0");
    byId("problems").hidden = pool.problems.length === 0;
    setText(byId("problems"), pool.problems.join("\n"));
    for (const { keys, chart } of this.charts) {
      chart.update(keys.map((key) => pool.trend[key]), pool.trend_s);
    }
  }

  touch() {
    this.isTouched = this.wanted() !== this.policy;
    this.button.disabled = !this.isTouched;
    this.help();
  }

  /** What the policy does that the form names, and which parameters it has. */
  help() {
    const kind = this.policies.find(({ name }) => name === this.name.value);
    if (!kind) return;
    setText(byId("policy-summary"), kind.summary);
    this.parameters.placeholder = kind.defaults || "no parameters";
    this.parameters.title = kind.parameters;
  }

  /** The policy that the form asks for. */
  wanted() {
    const parameters = this.parameters.value.trim();
    return parameters ? `${this.name.value}:${parameters}` : this.name.value;
  }

  async switch() {
    const [pool, policy] = [this.shown, this.wanted()];
    this.button.disabled = true;
    try {
      await setPolicy(pool, policy);
      this.isTouched = false;
      this.said(`${pool}: the policy is ${policy} from now on`);
    } catch (error) {
      this.said(`${pool}: not switched: ${error.message}`, "refused");
    }
    this.changed();
  }
}

/** The parameters of a policy as it was asked for. */
function rest(policy) {
  return policy.includes(":") ? policy.slice(policy.indexOf(":") + 1) : "";
}
