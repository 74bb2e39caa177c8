"""How the page looks: light, dark, and on paper."""

STYLE = """
:root{--ink:#1f2328;--soft:#59636e;--line:#d0d7de;--paper:#fff;--raised:#f6f8fa;--accent:#0072b2}
@media (prefers-color-scheme:dark){:root{--ink:#e6e9ee;--soft:#98a2ae;--line:#39414b;--paper:#14171b;--raised:#1d2127;
--accent:#58a6ff}}
*{box-sizing:border-box}
body{margin:0;background:var(--paper);color:var(--ink);
font:16px/1.55 system-ui,"Segoe UI","Helvetica Neue",Arial,sans-serif}
main{max-width:1080px;margin:0 auto;padding:48px 28px 96px}
h1{font-size:30px;line-height:1.2;margin:0 0 4px;letter-spacing:-.01em;text-wrap:balance}
h2{font-size:20px;margin:44px 0 10px;padding-top:18px;border-top:1px solid var(--line)}
h3{font-size:16px;margin:28px 0 8px}
p{margin:8px 0;max-width:74ch}
.soft{color:var(--soft)}
header p{margin:0}
.summary{background:var(--raised);border:1px solid var(--line);border-left:4px solid var(--accent);border-radius:6px;
padding:16px 22px;margin:26px 0 20px}
.summary p:first-child{font-size:18px;line-height:1.45;margin-top:2px}
nav{display:flex;flex-wrap:wrap;gap:4px 18px;font-size:14px}
a{color:var(--accent);text-decoration:none}
a:hover{text-decoration:underline}
.scroll{overflow-x:auto;margin:14px 0}
table{border-collapse:collapse;font-size:14px;min-width:min(100%,440px);font-variant-numeric:tabular-nums}
th,td{text-align:left;padding:6px 24px 6px 0;border-bottom:1px solid var(--line);vertical-align:baseline}
th{font-weight:600;color:var(--soft);white-space:nowrap}
th:last-child,td:last-child{padding-right:0}
td.n,th.n{text-align:right;white-space:nowrap}
tr.strong td{font-weight:600}
dl{display:grid;grid-template-columns:max-content 1fr;gap:4px 20px;font-size:14px;margin:14px 0}
dt{color:var(--soft)}
dd{margin:0;overflow-wrap:anywhere}
pre{background:var(--raised);border:1px solid var(--line);border-radius:6px;padding:12px 16px;overflow-x:auto;
font:13px/1.5 ui-monospace,"SF Mono",Menlo,Consolas,monospace;white-space:pre-wrap;overflow-wrap:anywhere}
ul{padding-left:20px;margin:10px 0}
li{margin:3px 0;max-width:84ch}
ul.plain{list-style:none;padding:0}
figure{margin:0}
figure.plot{margin:18px 0 22px;max-width:100%}
figure.plot svg{display:block;max-width:100%;height:auto}
figcaption{font-size:13px;line-height:1.4;color:var(--soft);margin-top:6px;max-width:84ch}
.pair{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(440px,100%),1fr));gap:8px 36px;align-items:start}
.cells{display:flex;flex-wrap:wrap;gap:14px 12px;margin:10px 0 26px;align-items:flex-start}
.cell{width:132px}
.cell img{display:block;width:100%;height:auto;border-radius:3px;background:var(--raised);margin-top:5px;
image-rendering:pixelated}
.cell figcaption{font-size:12px;line-height:1.3;margin:0;min-height:2.6em}
.cell b{display:block;color:var(--ink);font-weight:600;white-space:nowrap;overflow:hidden;text-overflow:ellipsis}
.legend{display:flex;flex-wrap:wrap;gap:4px 16px;font-size:13px;color:var(--soft);margin:8px 0 14px}
.legend i{display:inline-block;width:12px;height:12px;border-radius:2px;margin-right:6px;vertical-align:-1px}
@media print{
:root{--ink:#000;--soft:#444;--line:#bbb;--paper:#fff;--raised:#f7f7f7;--accent:#00507d}
main{max-width:none;padding:0}
nav{display:none}
h2,h3{break-after:avoid}
h2{margin-top:28px}
.scroll{overflow:visible}
table{font-size:8pt;min-width:0}
th,td{padding-right:8px}
th,th.n{white-space:normal}
.pair{grid-template-columns:1fr 1fr;gap:8px 20px}
figure,tr,pre,.cells{break-inside:avoid}
body{font-size:11pt;print-color-adjust:exact;-webkit-print-color-adjust:exact}
}
"""
