// Short tones, off until somebody switches them on: people stand close together at a kiosk.

const TONES = {
  found: [660], safe: [660, 880], exposed: [440, 440, 440], clerk: [520, 520], failed: [300], released: [660, 880],
};
const TONE_S = 0.16;

export class Sound {
  #button;
  #context = null;

  constructor(button) {
    this.#button = button;
    button.addEventListener("click", () => this.#toggle());
  }

  found() {
    this.#play(TONES.found);
  }

  verdict(state) {
    this.#play(TONES[state]);
  }

  #toggle() {
    const on = this.#button.getAttribute("aria-pressed") !== "true";
    this.#button.setAttribute("aria-pressed", String(on));
    if (on) {
      this.#context ??= new AudioContext();
      this.#play(TONES.found);
    }
  }

  #play(tones) {
    if (this.#button.getAttribute("aria-pressed") !== "true") {
      return;
    }
    tones.forEach((hertz, place) => {
      const oscillator = this.#context.createOscillator();
      const gain = this.#context.createGain();
      const start = this.#context.currentTime + place * TONE_S * 1.3;
      oscillator.frequency.value = hertz;
      gain.gain.setValueAtTime(0.2, start);
      gain.gain.exponentialRampToValueAtTime(0.001, start + TONE_S);
      oscillator.connect(gain).connect(this.#context.destination);
      oscillator.start(start);
      oscillator.stop(start + TONE_S);
    });
  }
}
