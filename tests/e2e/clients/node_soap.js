// Calls SubmitClaim with node-soap, knowing only the WSDL's address.
//
// usage: NODE_PATH=… node node_soap.js WSDL_URL good|incomplete [11|12]
//
// Prints one line of JSON: {"result": {...}} and ends with 0, or {"fault": {...}} and ends with 3.
// Anything else ends with 1, the cause on standard error.
'use strict';

const fs = require('node:fs');
const path = require('node:path');
const soap = require('soap');

function request(name) {
  const claim = JSON.parse(fs.readFileSync(path.join(__dirname, 'claims.json'), 'utf8'))[name];
  const { policy, Reserve, Party, Lines, ...rest } = claim;
  // node-soap writes members in the order they stand in, so the contract's order is kept here.
  const { ClaimNo, LossDt, Audit, CauseCd, Narrative } = rest;
  const body = {
    attributes: policy === undefined ? {} : { policy },
    ClaimNo,
    LossDt,
    Audit,
    CauseCd,
    Reserve: { attributes: { cur: Reserve.cur }, $value: Reserve.amount },
    Party: Party.map(({ role, Name }) => ({ attributes: { role }, Name })),
    Narrative,
    Lines: { Line: Lines },
  };
  return Object.fromEntries(Object.entries(body).filter(([, value]) => value !== undefined));
}

async function main([url, name, version = '11']) {
  if (!url || !name) throw new Error('usage: node node_soap.js WSDL_URL good|incomplete [11|12]');
  const client = await soap.createClientAsync(url, { forceSoap12Headers: version === '12' });
  const operation = client.ClaimService[`ClaimSoap${version}`].SubmitClaim;
  const { error, reply } = await new Promise((resolve) => {
    operation({ Claim: request(name) }, (error, reply) => resolve({ error, reply }));
  });
  if (!error) {
    console.log(JSON.stringify({ result: reply.Result }));
    return 0;
  }
  const fault = error.root?.Envelope?.Body?.Fault;
  const typed = (fault?.detail ?? fault?.Detail)?.ValidationFault;
  if (!typed) throw error;
  // A single repeated element comes as an object here.
  typed.finding = [typed.finding ?? []].flat();
  console.log(JSON.stringify({ fault: typed }));
  return 3;
}

main(process.argv.slice(2)).then(
  (code) => { process.exitCode = code; },
  (error) => { console.error(error.message ?? error); process.exitCode = 1; },
);
