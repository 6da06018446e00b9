// Verifies what sign.py made for one manifest in a registry, by a verifier that is not ours:
// node verify.mjs REGISTRY REPOSITORY DIGEST KEY.pub
import { createPublicKey } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { bundleFromJSON } from '@sigstore/bundle';
import { toSignedEntity, toTrustMaterial, Verifier } from '@sigstore/verify';
import { createHash } from 'node:crypto';

const [, , registry, repository, digest, keyFile] = process.argv;
const base = `http://${registry}/v2/${repository}`;
const accept = { headers: { accept: 'application/vnd.oci.image.manifest.v1+json' } };
const manifest = async (tag) => (await fetch(`${base}/manifests/${tag}`, accept)).json();
const blob = async (layer) => Buffer.from(await (await fetch(`${base}/blobs/${layer.digest}`)).arrayBuffer());

const key = createPublicKey(readFileSync(keyFile));
const keys = () => ({ publicKey: key, validFor: () => true });
const trusted = toTrustMaterial({ certificateAuthorities: [], timestampAuthorities: [], tlogs: [], ctlogs: [] }, keys);
const verifier = new Verifier(trusted, { tlogThreshold: 0, ctlogThreshold: 0, timestampThreshold: 0 });
const bundle = (content) => bundleFromJSON({
  mediaType: 'application/vnd.dev.sigstore.bundle.v0.3+json',
  verificationMaterial: { publicKey: { hint: 'release' }, tlogEntries: [] },
  ...content,
});
const verify = (content, payload) => verifier.verify(toSignedEntity(bundle(content), payload));

const beside = digest.replace(':', '-');
const [signature] = (await manifest(`${beside}.sig`)).layers;
const claim = await blob(signature);
verify({
  messageSignature: {
    messageDigest: { algorithm: 'SHA2_256', digest: createHash('sha256').update(claim).digest('base64') },
    signature: signature.annotations['dev.cosignproject.cosign/signature'],
  },
}, claim);
const { critical } = JSON.parse(claim);
if (critical.image['docker-manifest-digest'] !== digest) throw new Error('a signature of another image');
if (critical.identity['docker-reference'] !== `${registry}/${repository}`) throw new Error('for another repository');

const kinds = [];
for (const layer of (await manifest(`${beside}.att`)).layers) {
  const envelope = JSON.parse(await blob(layer));
  verify({ dsseEnvelope: envelope });
  const statement = JSON.parse(Buffer.from(envelope.payload, 'base64'));
  if (`sha256:${statement.subject[0].digest.sha256}` !== digest) throw new Error('a statement about another image');
  kinds.push(statement.predicateType);
}
console.log(JSON.stringify(kinds));
