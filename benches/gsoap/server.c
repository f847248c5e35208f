/* The peer of the benchmark: a plain gSOAP server for the sample contract.
 *
 * It parses the request into the structures that soapcpp2 makes of the WSDL and writes a fixed decision back. It
 * neither checks nor stores anything. Every thread accepts, serves one keep-alive connection to its end and accepts
 * again; with more threads than connections nobody waits for a thread.
 *
 * usage: gsoap-server PORT THREADS
 */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "soapH.h"
#include "ClaimSoap11.nsmap"

static struct soap listener;

static int decide(struct soap *soap, struct _ns1__SubmitClaim *request, struct _ns1__SubmitClaimResponse *reply)
{
    struct ns1__Result *result = soap_malloc(soap, sizeof *result);
    if (!result)
        return SOAP_EOM;
    soap_default_ns1__Result(soap, result);
    result->ClaimNo = request->Claim ? request->Claim->ClaimNo : NULL;
    result->PriorityCd = "2";
    result->FraudFlg = "N";
    result->ReasonTxt = "Routine claim";
    result->StatusCd = "OK";
    reply->Result = result;
    return SOAP_OK;
}

int __ns1__SubmitClaim(struct soap *soap, struct _ns1__SubmitClaim *request, struct _ns1__SubmitClaimResponse *reply)
{
    return decide(soap, request, reply);
}

int __ns1__SubmitClaim_(struct soap *soap, struct _ns1__SubmitClaim *request, struct _ns1__SubmitClaimResponse *reply)
{
    return decide(soap, request, reply);
}

/* Between two requests of one connection; without it the memory of all of them is kept until the connection ends. */
static int tidy(struct soap *soap)
{
    soap_destroy(soap);
    soap_end(soap);
    return SOAP_OK;
}

static void *serve(void *unused)
{
    struct soap *soap = soap_copy(&listener);
    (void)unused;
    if (!soap)
        return NULL;
    soap->master = listener.master;
    for (;;) {
        if (soap_valid_socket(soap_accept(soap))) {
            soap_serve(soap);
            tidy(soap);
        }
    }
}

int main(int argc, char **argv)
{
    int port, threads, i;
    if (argc != 3) {
        fprintf(stderr, "usage: gsoap-server PORT THREADS\n");
        return 2;
    }
    port = atoi(argv[1]);
    threads = atoi(argv[2]);
    signal(SIGPIPE, SIG_IGN);
    soap_init1(&listener, SOAP_IO_KEEPALIVE | SOAP_C_UTFSTRING);
    listener.fserveloop = tidy;
    listener.bind_flags = SO_REUSEADDR;
    listener.max_keep_alive = 0; /* the default ends a connection after 100 requests */
    if (!soap_valid_socket(soap_bind(&listener, "127.0.0.1", port, 1024))) {
        soap_print_fault(&listener, stderr);
        return 1;
    }
    for (i = 0; i < threads; i++) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, serve, NULL)) {
            fprintf(stderr, "gsoap-server: no more threads after %d\n", i);
            return 1;
        }
    }
    for (;;)
        pause();
}
