// Searches with an image file, pages through all matches, and reads an error. Every name is checked against schema.ts.
//   KEY=... node search.ts http://127.0.0.1:8000 shop query.jpg
import { openAsBlob } from "node:fs";
import createClient from "openapi-fetch";
import type { components, paths } from "./schema.ts";

type Schemas = components["schemas"];
type Match = Schemas["SearchResponse"]["results"][number];

const [baseUrl, collection, file] = process.argv.slice(2);
if (!baseUrl || !collection || !file) throw new Error("expected: URL COLLECTION FILE");
const headers: Record<string, string> = process.env.KEY ? { Authorization: `Bearer ${process.env.KEY}` } : {};
const client = createClient<paths>({ baseUrl, headers });

/** The best matches of an image file, sent as a form. */
async function searchByFile(path: string, limit: number): Promise<Schemas["SearchResponse"]> {
  const image = await openAsBlob(path);
  const { data, error } = await client.POST("/collections/{collection}/search", {
    params: { path: { collection: collection! } },
    body: { limit } satisfies Schemas["SearchForm"],
    bodySerializer() {
      const form = new FormData();
      form.append("limit", String(limit));
      form.append("image", image, "query.jpg");
      return form;
    },
  });
  if (error) throw new Error(error.detail);
  return data;
}

/** All items in the order of their similarity to one of them, a page at a time. */
async function* similarTo(id: string, limit: number): AsyncGenerator<Match> {
  for (let offset = 0; ; offset += limit) {
    const { data, error } = await client.POST("/collections/{collection}/search", {
      params: { path: { collection: collection! } },
      body: { id, limit, offset },
    });
    if (error) throw new Error(error.detail);
    yield* data.results;
    if (data.results.length < limit) return;
  }
}

const found = await searchByFile(file, 3);
for (const match of found.results) console.log("match", match.id, match.score.toFixed(3), match.confidence ?? "");

const best = found.results[0];
if (best) for await (const match of similarTo(best.id, 3)) console.log("similar", match.id);

const { error, response } = await client.POST("/collections/{collection}/search", {
  params: { path: { collection: `${collection}-typo` } },
  body: { id: "1.jpg" },
});
if (error) console.log("problem", response.status, error.title, "-", error.detail);
