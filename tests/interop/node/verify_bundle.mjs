// Verifies bundles with @sigstore/verify as a case's table says: SCENE/sigstore/<case>/table.npm, see sigstore_bundles.py.
// Prints what was checked, and fails if one answer is another than the table's.
import { createPublicKey } from "node:crypto";
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { bundleFromJSON } from "@sigstore/bundle";
import { TrustedRoot } from "@sigstore/protobuf-specs";
import { Verifier, toSignedEntity, toTrustMaterial } from "@sigstore/verify";

const read = (...path) => readFileSync(join(...path), "utf8");

function verify(folder, bundle, root, artifact) {
  const publicKey = createPublicKey(read(folder, "key.pub"));
  const material = toTrustMaterial(TrustedRoot.fromJSON(JSON.parse(read(folder, root))), () => ({
    publicKey,
    validFor: () => true,
  }));
  const verifier = new Verifier(material, { ctlogThreshold: 0, tlogThreshold: 1, timestampThreshold: 0 });
  verifier.verify(toSignedEntity(bundleFromJSON(JSON.parse(read(folder, bundle))), readFileSync(join(folder, artifact))));
}

const scene = process.argv[2];
let accepted = 0;
let refused = 0;
const wrong = [];
for (const name of readdirSync(join(scene, "sigstore"))) {
  const folder = join(scene, "sigstore", name);
  for (const line of read(folder, "table.npm").split("\n").filter(Boolean)) {
    const [want, bundle, root, artifact] = line.split("\t");
    let got = "accept";
    let why = "";
    try {
      verify(folder, bundle, root, artifact);
    } catch (error) {
      got = "refuse";
      why = String(error.message);
    }
    if (got === "accept") accepted++;
    else refused++;
    if (got !== want) wrong.push(`${name}: ${bundle} under ${root}: ${got}, not ${want} ${why}`);
  }
}
if (wrong.length > 0 || accepted === 0 || refused === 0) {
  console.error(wrong.join("\n") || "nothing was checked");
  process.exit(1);
}
console.log(`${accepted} accepted, ${refused} refused, as the table says; ${read(scene, "sigstore_differs.npm").trim()}`);
