<?php
/**
 * Calls SubmitClaim with PHP's SoapClient, knowing only the WSDL's address.
 *
 * usage: php soapclient.php WSDL_URL good|incomplete [11|12]
 *
 * Prints one line of JSON: {"result": {...}} and ends with 0, or {"fault": {...}} and ends with 3.
 * Anything else ends with another code, the cause on standard error.
 */
declare(strict_types=1);

if ($argc < 3) {
    fwrite(STDERR, "usage: php soapclient.php WSDL_URL good|incomplete [11|12]\n");
    exit(1);
}

$claim = json_decode(file_get_contents(__DIR__ . '/claims.json'), true, 32, JSON_THROW_ON_ERROR)[$argv[2]];
$claim['Reserve'] = ['_' => $claim['Reserve']['amount'], 'cur' => $claim['Reserve']['cur']];
$claim['Lines'] = ['Line' => $claim['Lines']];

try {
    $client = new SoapClient($argv[1], [
        'cache_wsdl' => WSDL_CACHE_NONE,
        'exceptions' => true,
        'features' => SOAP_SINGLE_ELEMENT_ARRAYS,
        'soap_version' => ($argv[3] ?? '11') === '12' ? SOAP_1_2 : SOAP_1_1,
    ]);
    $reply = $client->SubmitClaim(['Claim' => $claim]);
    echo json_encode(['result' => $reply->Result], JSON_THROW_ON_ERROR), "\n";
} catch (SoapFault $fault) {
    $typed = $fault->detail->ValidationFault ?? null;
    if ($typed === null) {
        fwrite(STDERR, "fault without the declared detail: {$fault->faultcode} {$fault->getMessage()}\n");
        exit(1);
    }
    // SoapClient reads a fault's detail by its shape, not by the declared type: one finding comes as an object.
    if (!is_array($typed->finding ?? [])) {
        $typed->finding = [$typed->finding];
    }
    echo json_encode(['fault' => $typed], JSON_THROW_ON_ERROR | JSON_UNESCAPED_SLASHES), "\n";
    exit(3);
}
