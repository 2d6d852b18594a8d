import react from "@vitejs/plugin-react";
import { defineConfig } from "vite";

export default defineConfig({
  base: "/react/",
  plugins: [react()],
  // the client is linked from its own folder, which has a React for its tests
  resolve: { dedupe: ["react", "react-dom", "@tanstack/react-query"] },
  server: {
    proxy: { "/discussions": "http://127.0.0.1:8000" },
    // the plain page's styles
    fs: { allow: [".."] },
  },
});
