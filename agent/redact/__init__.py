"""Takes secrets out of records before anything is stored. On by default, recursive; every pattern over text is RE2's, so linear in time.

| module | what it knows |
|---|---|
| `names` | which keys name a secret, in which languages |
| `values` | which values under such a key are not secret: `none`, a placeholder, an expression of a program |
| `shapes` | secrets known by themselves, wherever they stand: private keys, tokens of vendors |
| `named` | where running text names a secret: `password=…`, `<password>…`, "password is …" |
| `commands` | programs that take passwords as arguments: `curl -u`, `mysql -p…` |
| `cards` | payment cards: issuer, grouping and check digit |
| `hints` | one search over raw bytes that finds every chunk in which one of the above may be |
| `redactor` | goes through records and replaces |
"""
