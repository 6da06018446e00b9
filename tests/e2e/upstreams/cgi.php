<?php
// A request as PHP reads it, and as frameworks on PHP go on from there. For `php -S`, which makes variables of headers
// as CGI does.

/** Bytes, one character each. */
function text(string $bytes): string
{
    return iconv('ISO-8859-1', 'UTF-8', $bytes);
}

/** Every value with the name that it is found under; `name[x]` is found under `name`. */
function pairs(array $values): array
{
    $pairs = [];
    foreach ($values as $name => $value) {
        $leaves = [$value];
        array_walk_recursive($leaves, function ($leaf) use (&$pairs, $name) {
            $pairs[] = [text($name), text($leaf)];
        });
    }
    return $pairs;
}

$headers = getallheaders();
foreach ($_SERVER as $name => $value) {
    if (str_starts_with($name, 'HTTP_')) {
        $headers[substr($name, 5)] = $value;
    }
}

$method = $_SERVER['REQUEST_METHOD'];
foreach (['X_HTTP_METHOD_OVERRIDE', 'X_HTTP_METHOD', 'X_METHOD_OVERRIDE', 'X_ORIGINAL_METHOD'] as $name) {
    $method = $headers[$name] ?? $method;
}

$path = rawurldecode(explode('?', $_SERVER['REQUEST_URI'], 2)[0]);
foreach (['X_ORIGINAL_URL', 'X_REWRITE_URL', 'X_ORIGINAL_URI', 'PATH_INFO', 'SCRIPT_NAME'] as $name) {
    $path = $headers[$name] ?? $path;
}

header('content-type: application/json');
echo json_encode([
    'method' => text($method),
    'path' => text($path),
    'headers' => pairs($headers),
    'cookies' => pairs($_COOKIE),
    'query' => pairs($_GET),
], JSON_THROW_ON_ERROR);
