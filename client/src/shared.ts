export { tabs } from "./tabs.js";
