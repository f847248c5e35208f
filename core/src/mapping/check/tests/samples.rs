//! Mappings for the tests.

/// The claim desk of the documentation.
pub const CLAIMS: &str = r"# yaml-language-server: $schema=mapping.schema.json
mapping: claim-triage
version: 3
owner: claims-integration@acme.example

receive:                                   # where documents arrive
  soap: { service: ClaimService, operation: SubmitClaim }

source:                                    # what a document is
  kind: xml
  contract: ClaimService.wsdl              # every address below is checked against it
  timezone: Europe/Madrid

key: claim_no

record:                                    # left: the clean name.  from: where it is found
  claim_no:     { from: Claim/ClaimNo,                required: true, pattern: 'C\d{8}' }
  policy_no:    { from: Claim/@policy,                required: true }
  loss_date:    { from: Claim/LossDt,                 type: date, format: ddMMyyyy, required: true }
  reported_at:  { from: Claim/Audit/Ts,               type: datetime, max_age: 48h }
  cause:        { from: Claim/CauseCd,                codes: cause, required: review }
  currency:     { from: Claim/Reserve/@cur,           default: EUR, one_of: [EUR, GBP, USD] }
  reserve:      { from: Claim/Reserve,                type: money, range: 0..5000000 }
  claimant:     { from: Claim/Party(@role=CLM)/Name,  mask: token }
  story:        { from: [Claim/Narrative, Claim/Notes/Note(1)], length: ..4000, mask: find }
  lines:
    each: Claim/Lines/Line
    record:
      kind:     { from: Type, codes: line_kind }
      amount:   { from: Amt, type: money }

codes:                                     # clean word: legacy code(s); the first is written back
  cause:      { fire: 01, water: [02, 2A], theft: 03, weather: [04, 4W], other: 99 }
  line_kind:  { building: B, contents: C, loss_of_rent: R }
  priority:   { low: 3, normal: 2, high: 1 }
  status:     { pass: OK, review: PD, reject: RJ }

checks:                                    # the rule must hold, else …
  loss_date <= today():          { else: reject, say: Loss date lies in the future }
  sum(lines.amount) == reserve:  { else: review, say: Lines do not add up to the reserve }

ask:
  route: triage                            # models, keys and limits live in vestibule.yaml
  prompt: prompts/triage.md
  send: [cause, reserve, story, lines]     # nothing else leaves
  answer:
    priority:   { one_of: [low, normal, high], required: true }
    fraud:      { type: bool, required: yes }
    reason:     { length: 1..300, required: true }
    confidence: { type: decimal, range: 0..1, required: true }
    note:       {}
  accept: answer.confidence >= 0.7
  deadline: 8s
  fallback:                                # tried in order when no answer comes in time
    - cached: 24h
    - rules: triage.rules.yaml
    - answer: { priority: normal, fraud: no, reason: Triage unavailable, confidence: 1 }

return:                                    # left: the legacy place.  right: the clean name
  into: SubmitClaimResponse
  write:
    Result/ClaimNo:     claim_no
    Result/PriorityCd:  { from: answer.priority, codes: priority }
    Result/FraudFlg:    { from: answer.fraud, type: bool, format: Y/N }
    Result/ReasonTxt:   { from: answer.reason, length: ..255, overflow: cut }
    Result/StatusCd:    { from: outcome, codes: status }

deliver: reply
";

/// Lists of the record and of the answer, short forms, JSON, no durability.
pub const LISTS: &str = r"
mapping: order-risk
source: { kind: json, each: orders }
record:
  order_no: number
  lines:
    each: lines
    record:
      sku: sku
      quantity: { from: qty, type: int }
ask:
  route: risk
  answer:
    risks:
      length: ..10
      required: yes
      record:
        name:  { length: ..80, required: yes }
        score: { type: decimal, range: 0..1, required: yes }
return:
  write:
    items:
      each: lines
      write:
        article: sku
        order: order_no
        label: { value: checked }
    risks:
      each: answer.risks
      write:
        name: name
        score: score
durability: none
";

/// Many records in a document, control totals, computed fields, a CSV table, a list in each record.
pub const BATCH: &str = r"
mapping: order_batch
source:
  kind: json
  each: batch/orders
  only: state == 'open'
  trailer:
    count: { from: batch/count, type: int }
    total: { from: batch/total, type: money }
key: [batch, number]
record:
  batch: { from: /batch/id, required: yes }
  number: { from: no, unique: yes, required: yes }
  rate:  { from: rate, type: decimal, default: 0.21, range: 0..1 }
  state: { from: state, codes: codes/state.csv, complete: 0.8 }
  lines:
    each: lines
    length: 1..
    record:
      sku: sku
      net: { from: net, type: money, required: note }
      tax: { compute: net * rate }
      gross: { compute: net + tax, type: money }
  net:   { compute: sum(lines.net), type: money }
checks:
  count(records) == trailer.count:  { else: reject }
  sum(records.net) == trailer.total: { else: reject, say: Control total }
  all(lines.net > 0):               { else: note }
";

/// The claim desk with a dozen planted mistakes.
pub const BROKEN: &str = r"mapping: claim-triage
version: three
receive:
  soap: { service: ClaimService, operation: SubmitClaim }
source:
  kind: xml
  contract: ClaimService.wsdl
  timezone: Europe/Madird
record:
  claim_no:     { from: Claim/ClaimNr, requried: true, pattern: 'C(\d{8}' }
  PolicyNo:     { from: Claim/@policy }
  loss_date:    { from: Claim/LossDt, type: date, format: ddMMyy }
  cause:        { from: Claim/CauseCd, codes: caus }
  reserve:      { from: 'Claim/Reserve[', type: mony, range: 0..5000000 }
  lines:
    each: Claim/Lines/Line
    record:
      amount:   { from: Amt, type: money, max_age: 2 weeks }
codes:
  cause:      { fire: 01, water: [02, 01] }
  priority:   { low: 3, high: 1 }
checks:
  loss_date <= todya():          { else: reject }
  sum(lines.amuont) == reserve:  { else: reviw }
ask:
  route: triaje
  prompt: prompts/triage.md
  send: [cause, resreve]
  answer:
    priority:   { one_of: [low, normal, high], required: true }
  fallback:
    - answer: { priority: urgent }
return:
  into: SubmitClaimResponse
  write:
    Result/ClaimNo:     claim_nr
    Result/PriorityCd:  { from: answer.priority, codes: priority }
";
