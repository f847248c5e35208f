<?php
/**
 * Submits a claim to the claim desk and prints the decision, or everything that is wrong with the claim.
 *
 *     php submit_claim.php http://127.0.0.1:8080/soap/ClaimService?wsdl
 *     php submit_claim.php http://127.0.0.1:8080/soap/ClaimService?wsdl --incomplete
 */
declare(strict_types=1);

if ($argc < 2) {
    exit("usage: php submit_claim.php WSDL_URL [--incomplete]\n");
}

$claim = [
    'policy' => 'PL-7781/4',
    'ClaimNo' => 'C00012345',
    'LossDt' => '03112026',
    'Audit' => ['Ts' => '2026-11-04T09:12:33'],
    'CauseCd' => '2A',
    'Reserve' => ['_' => '1250.00', 'cur' => 'EUR'],
    'Party' => [['role' => 'CLM', 'Name' => 'Luis Pérez']],
    'Narrative' => 'A pipe burst on the upper floor.',
    'Lines' => ['Line' => [['Type' => 'B', 'Amt' => '1000.00'], ['Type' => 'C', 'Amt' => '250.00']]],
];
if (in_array('--incomplete', $argv, true)) {
    unset($claim['policy'], $claim['ClaimNo'], $claim['LossDt'], $claim['CauseCd']);
}

// The WSDL is read afresh, so that a changed contract shows at once.
$client = new SoapClient($argv[1], ['cache_wsdl' => WSDL_CACHE_NONE]);

try {
    $result = $client->SubmitClaim(['Claim' => $claim])->Result;
} catch (SoapFault $fault) {
    echo "refused: {$fault->getMessage()}\n";
    // SoapClient reads a fault's detail by its shape: a single finding is an object, several are a list.
    $findings = $fault->detail->ValidationFault->finding ?? [];
    foreach (is_array($findings) ? $findings : [$findings] as $finding) {
        $place = $finding->xpath ?? $finding->field ?? '';
        echo "  {$finding->code}  {$place}: expected {$finding->expected}\n";
    }
    exit(1);
}

// What a review or a rejection cannot fill is not in the reply.
printf("claim    %s\n", $result->ClaimNo ?? '');
printf("status   %s\n", $result->StatusCd);
printf("priority %s\n", $result->PriorityCd ?? '');
printf("fraud    %s\n", $result->FraudFlg ?? '');
printf("reason   %s\n", $result->ReasonTxt ?? '');
printf("ticket   %s\n", $result->Ticket ?? '');
