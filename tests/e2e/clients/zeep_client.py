"""Calls SubmitClaim with zeep, knowing only the WSDL's address.

usage: zeep_client.py WSDL_URL good|incomplete [11|12]

Prints one line of JSON: {"result": {...}} and ends with 0, or {"fault": {...}} and ends with 3.
Anything else ends with 1, the cause on standard error.
"""

import json
import pathlib
import sys

from zeep import Client, Settings
from zeep.exceptions import Fault
from zeep.helpers import serialize_object

FAULT = "{urn:vestibule:fault:1}ValidationFault"


def request(case):
    claim = json.loads((pathlib.Path(__file__).parent / "claims.json").read_text("utf-8"))[case]
    reserve = claim.pop("Reserve")
    claim["Reserve"] = {"_value_1": reserve["amount"], "cur": reserve["cur"]}
    claim["Lines"] = {"Line": claim["Lines"]}
    return claim


def main(url, case, version="11"):
    client = Client(url, settings=Settings(strict=True, xml_huge_tree=False))
    service = client.bind("ClaimService", f"ClaimSoap{version}")
    try:
        result = service.SubmitClaim(Claim=request(case))
    except Fault as fault:
        # The detail is read by the type that the WSDL declares: an undeclared element fails here.
        parent = fault.detail
        node = parent if parent.tag == FAULT else parent.find(FAULT)
        typed = client.get_element(FAULT).parse(node, client.wsdl.types)
        print(json.dumps({"fault": serialize_object(typed, dict)}))
        return 3
    print(json.dumps({"result": serialize_object(result, dict)}))
    return 0


if __name__ == "__main__":
    if len(sys.argv) not in (3, 4):
        sys.exit(__doc__)
    sys.exit(main(*sys.argv[1:]))
