/* Loops over the packets of a batch, for node.crypto.rows, which tells of them and checks all sizes.
 *
 *     a row of `wire`    lead (8) | IV (8) | ciphertext | tag (16)
 *     a row of `plain`   plaintext
 *     a row of `aad`     what is authenticated beside it, `aad_step` octets after the one before
 *
 * Nothing here reads a length from a packet: every size comes from Python, which has made the buffers to fit.
 */

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdint.h>
#include <string.h>

enum { LEAD = 8, IV = 8, TAG = 16, SALT = 4 };

/* The version of this interface: node.crypto.rows takes no other. */
enum { INTERFACE = 1 };

typedef struct {
    uint8_t *wire, *plain;
    const uint8_t *aad;
    size_t size, plain_size, aad_size, aad_step;
} rows_batch;

int rows_interface(void)
{
    return INTERFACE;
}

/* The version of OpenSSL that is there when this runs. */
const char *rows_openssl(void)
{
    return OpenSSL_version(OPENSSL_VERSION);
}

/* One direction of one SA; NULL where OpenSSL has no such cipher, or its key has another size. */
EVP_CIPHER_CTX *rows_cipher(const char *name, const uint8_t *key, size_t key_size, int encrypt)
{
    EVP_CIPHER *cipher = EVP_CIPHER_fetch(NULL, name, NULL);
    EVP_CIPHER_CTX *context = NULL;
    if (cipher && (size_t)EVP_CIPHER_get_key_length(cipher) == key_size
        && EVP_CIPHER_get_iv_length(cipher) == SALT + IV && (context = EVP_CIPHER_CTX_new())
        && !EVP_CipherInit_ex2(context, cipher, key, NULL, encrypt, NULL)) {
        EVP_CIPHER_CTX_free(context);
        context = NULL;
    }
    EVP_CIPHER_free(cipher);
    return context;
}

/* The keys are overwritten. */
void rows_free(EVP_CIPHER_CTX *context)
{
    EVP_CIPHER_CTX_free(context);
}

/* Fill IV, ciphertext and tag of `count` packets; IVs count from `first`. 1, or 0 where OpenSSL failed. */
int rows_seal(EVP_CIPHER_CTX *context, const rows_batch *batch, const uint8_t *salt, uint64_t first, size_t count)
{
    uint8_t nonce[SALT + IV], *wire = batch->wire;
    const uint8_t *plain = batch->plain, *aad = batch->aad;
    int size = (int)batch->plain_size, done;
    memcpy(nonce, salt, SALT);
    for (size_t row = 0; row < count; row++) {
        for (int octet = 0; octet < IV; octet++)
            nonce[SALT + octet] = (uint8_t)((first + row) >> (8 * (IV - 1 - octet)));
        memcpy(wire + LEAD, nonce + SALT, IV);
        uint8_t *sealed = wire + LEAD + IV;
        OSSL_PARAM tag[] = {
            OSSL_PARAM_construct_octet_string(OSSL_CIPHER_PARAM_AEAD_TAG, sealed + size, TAG),
            OSSL_PARAM_construct_end(),
        };
        if (!EVP_EncryptInit_ex2(context, NULL, NULL, nonce, NULL)
            || !EVP_EncryptUpdate(context, NULL, &done, aad, (int)batch->aad_size)
            || !EVP_EncryptUpdate(context, sealed, &done, plain, size) || done != size
            || !EVP_EncryptFinal_ex(context, sealed + size, &done)
            || !EVP_CIPHER_CTX_get_params(context, tag))
            return 0;
        wire += batch->size;
        plain += batch->plain_size;
        aad += batch->aad_step;
    }
    return 1;
}

/* Verify the tags of `count` packets and fill their plaintext. 1, or 0 where one of them is not right. */
int rows_open(EVP_CIPHER_CTX *context, const rows_batch *batch, const uint8_t *salt, size_t count)
{
    uint8_t nonce[SALT + IV], *wire = batch->wire, *plain = batch->plain;
    const uint8_t *aad = batch->aad;
    int size = (int)batch->plain_size, done;
    memcpy(nonce, salt, SALT);
    for (size_t row = 0; row < count; row++) {
        memcpy(nonce + SALT, wire + LEAD, IV);
        uint8_t *sealed = wire + LEAD + IV;
        OSSL_PARAM tag[] = {
            OSSL_PARAM_construct_octet_string(OSSL_CIPHER_PARAM_AEAD_TAG, sealed + size, TAG),
            OSSL_PARAM_construct_end(),
        };
        if (!EVP_DecryptInit_ex2(context, NULL, NULL, nonce, tag)
            || !EVP_DecryptUpdate(context, NULL, &done, aad, (int)batch->aad_size)
            || !EVP_DecryptUpdate(context, plain, &done, sealed, size) || done != size
            || !EVP_DecryptFinal_ex(context, plain + size, &done))
            return 0;
        wire += batch->size;
        plain += batch->plain_size;
        aad += batch->aad_step;
    }
    return 1;
}

/* Of each row the sum of its 16-bit words in network order, modulo 65,535 (RFC 1071); an odd octet is a high one. */
void rows_totals(const uint8_t *octets, size_t step, size_t size, size_t count, int64_t *totals)
{
    for (size_t row = 0; row < count; row++, octets += step) {
        uint64_t low = 0, high = 0;
        size_t at = 0;
        for (; at + 8 <= size; at += 8) {
            uint32_t words[2];
            memcpy(words, octets + at, 8);
            low += words[0];
            high += words[1];
        }
        uint64_t total = low + high;
        for (; at + 2 <= size; at += 2) {
            uint16_t word;
            memcpy(&word, octets + at, 2);
            total += word;
        }
        if (at < size) {
            uint8_t last[2] = { octets[at], 0 };
            uint16_t word;
            memcpy(&word, last, 2);
            total += word;
        }
        /* In the order of this machine it is the sum of swapped words, which is the swapped sum. */
        uint16_t sum = (uint16_t)(total % 65535);
        uint8_t order[2];
        memcpy(order, &sum, 2);
        totals[row] = order[0] << 8 | order[1];
    }
}
