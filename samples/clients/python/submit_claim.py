"""Submits a claim to the claim desk and prints the decision, or everything that is wrong with the claim.

    python submit_claim.py http://127.0.0.1:8080/soap/ClaimService?wsdl
    python submit_claim.py http://127.0.0.1:8080/soap/ClaimService?wsdl --incomplete
"""

import sys

from zeep import Client
from zeep.exceptions import Fault

VALIDATION_FAULT = "{urn:vestibule:fault:1}ValidationFault"

CLAIM = {
    "policy": "PL-7781/4",
    "ClaimNo": "C00012345",
    "LossDt": "03112026",
    "Audit": {"Ts": "2026-11-04T09:12:33"},
    "CauseCd": "2A",
    "Reserve": {"_value_1": "1250.00", "cur": "EUR"},
    "Party": [{"role": "CLM", "Name": "Luis Pérez"}],
    "Narrative": "A pipe burst on the upper floor.",
    "Lines": {"Line": [{"Type": "B", "Amt": "1000.00"}, {"Type": "C", "Amt": "250.00"}]},
}


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    claim = dict(CLAIM)
    if "--incomplete" in sys.argv:
        for name in ("policy", "ClaimNo", "LossDt", "CauseCd"):
            del claim[name]

    client = Client(sys.argv[1])
    try:
        result = client.service.SubmitClaim(Claim=claim)
    except Fault as fault:
        print("refused:", fault.message)
        for finding in findings(client, fault):
            print(f"  {finding.code}  {finding.xpath or finding.field}: expected {finding.expected}")
        sys.exit(1)

    print("claim   ", result.ClaimNo)
    print("status  ", result.StatusCd)
    print("priority", result.PriorityCd)
    print("fraud   ", result.FraudFlg)
    print("reason  ", result.ReasonTxt)
    print("ticket  ", result.Ticket)


def findings(client, fault):
    """The findings of the typed fault; none where the fault has another detail."""
    node = fault.detail.find(VALIDATION_FAULT) if fault.detail is not None else None
    if node is None:
        return []
    return client.get_element(VALIDATION_FAULT).parse(node, client.wsdl.types).finding


if __name__ == "__main__":
    main()
