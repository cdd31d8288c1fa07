/** Small things that both pages need of the document. Texts go in as text, never as markup: names come from strangers. */

/**
 * @template {HTMLElement} T
 * @param {string} id
 * @param {new () => T} type
 * @returns {T} the element with this id
 * @throws {Error} when the page has none of the type
 */
export function element(id, type) {
  const found = document.getElementById(id);
  if (!(found instanceof type)) throw new Error(`the page has no ${type.name} named ${id}`);
  return found;
}

/**
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} tag
 * @param {string} [text]
 * @param {string} [className]
 * @returns {HTMLElementTagNameMap[K]}
 */
export function make(tag, text = '', className = '') {
  const made = document.createElement(tag);
  made.textContent = text;
  made.className = className;
  return made;
}

const GOOD_NEWS_FOR = 6000; // ms
/** @type {ReturnType<typeof setTimeout> | undefined} */
let going; // takes good news away

/**
 * Shows a sentence above the page, or takes it away. What is not bad goes by itself after a while.
 * @param {string} text  empty: nothing
 * @param {boolean} [bad]
 */
export function message(text, bad = false) {
  clearTimeout(going);
  if (text && !bad) going = setTimeout(() => message(''), GOOD_NEWS_FOR);
  const p = element('message', HTMLParagraphElement);
  p.textContent = text;
  p.classList.toggle('bad', bad);
  p.hidden = text === '';
}

/**
 * @param {HTMLFormElement} form
 * @param {string} name  of a text field or a select
 * @returns {string} its value, without blanks around it
 */
export function field(form, name) {
  return String(new FormData(form).get(name) ?? '').trim();
}

/**
 * @param {unknown} err
 * @returns {string} a sentence
 */
export function sentence(err) {
  return err instanceof Error ? err.message : String(err);
}
