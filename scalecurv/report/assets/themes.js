// Light and dark: the system's, unless the reader chose one; the choice is kept where the browser lets a file keep it.
const THEMES = ["system", "light", "dark"];
const prefersDark = window.matchMedia("(prefers-color-scheme: dark)");
let chosenTheme = remembered();

function remembered() {
  try {
    const kept = window.localStorage.getItem("scalecurv-theme");
    return THEMES.includes(kept) ? kept : "system";
  } catch (error) {
    return "system"; // storage is forbidden here
  }
}

function themeNow() {
  if (chosenTheme === "system") return prefersDark.matches ? "dark" : "light";
  return chosenTheme;
}

function showTheme(theme = themeNow()) {
  document.documentElement.dataset.theme = theme;
  document.getElementById("theme").textContent = `Theme: ${chosenTheme}`;
}

function nextTheme() {
  chosenTheme = THEMES[(THEMES.indexOf(chosenTheme) + 1) % THEMES.length];
  try {
    window.localStorage.setItem("scalecurv-theme", chosenTheme);
  } catch (error) {
    // the choice holds until the page is closed
  }
  showTheme();
}

const cssColor = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
showTheme(); // before the first picture
