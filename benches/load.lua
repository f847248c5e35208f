-- wrk: posts the file named by BENCH_BODY and prints one line of JSON when done.
local file = assert(io.open(os.getenv("BENCH_BODY"), "rb"))
wrk.method = "POST"
wrk.body = file:read("*a")
file:close()
wrk.headers["Content-Type"] = "text/xml; charset=utf-8"
wrk.headers["SOAPAction"] = '"http://acme.example/claims/2009/SubmitClaim"'

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    'SUMMARY {"requests":%d,"micros":%d,"p50":%d,"p99":%d,"status":%d,"socket":%d}\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
    errors.status, errors.connect + errors.read + errors.write + errors.timeout))
end
