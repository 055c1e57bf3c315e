"""The words by which a sentence is told from code: function words, verbs of request, Chinese signs of a sentence."""

from __future__ import annotations

import re


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


FUNCTION_WORDS = _words("""
    a about above across after again against all along already also am an another any anything are aren't around
    as at away back be because been before below beside besides between both but by can can't cannot could did
    didn't do does doesn't don't done down during each either else every everything except few first from had
    has hasn't have haven't he her here his how how's however i i'd i'll i'm i've if in inside instead into is
    isn't it it's its itself just last least less let's like many may me might mine more most much must my
    neither never no nobody none nor not nothing now of off often on once one only onto or other others our out
    outside over own per please rather same shall she should since so some somehow something soon still such
    than thanks that that's the their them then there there's these they this those though three through thus
    till times to together too two under until unless up upon us using very via was wasn't we we're were weren't
    what what's whatever when where where's whether which while who who's whole whom whose why will with within
    without won't would yet you your
""")

QUESTIONS = _words("""
    am any are aren't can could did didn't do does doesn't don't has have how how's is isn't may might must
    shall should was were what what's when where where's which who who's whom whose whos why will would
""")

VERBS = _words("""
    accept access activate add adjust aggregate align analyse analyze annotate answer append apply arrange ask
    assign attach average bin bookmark break bring build calculate calc capitalise capitalize cast center centre
    change chart check choose clean clear clip close cluster code collect color colour combine compare compile
    complete compose compress compute concat concatenate connect construct continue convert copy correct
    correlate count create crop cross cut debug decode decrease decrypt deduplicate define delete derive
    describe detect determine differentiate display divide do download draw drop dump duplicate edit encode
    encrypt enumerate erase estimate evaluate examine exclude execute expand explain explore export extend
    extract fetch fill filter find finish fit fix flatten flip forecast format gather generate get give go graph
    group guess handle hide highlight histogram impute improve include increase index infer insert inspect
    install integrate interpolate intersect invert iterate join keep label left let limit list load locate look
    loop lower make map mark match measure melt merge minimise minimize modify move multiply mutate name
    normalise normalize number open optimise optimize order organise organize output overlay pad pair parse
    partition paste perform pick pivot plot populate predict prepare preview print produce profile project prove
    put query raise randomise randomize rank read rebuild recode recompute redo redraw reduce refactor reformat
    remove rename reorder repeat replace replot report reshape resample rescale reset resize retry return
    reverse review rewrite rolling rotate round run sample save scale scan scrape search see select send
    separate set shift show shuffle simplify simulate skip slice smooth solve sort split square stack
    standardise standardize start stop store strip subset subtract suggest sum summarise summarize swap switch
    tabulate take tell test time tokenize train transform translate transpose trim truncate try turn undo union
    unpack unpivot update uppercase use validate bold bucket cache chain chunk classify commit convolve cube
    deal declare decompose dedupe delay demean diff discard embed emphasise emphasize ensure explode factor
    factorise factorize feed flag freeze halve hash initialise initialize interleave interpret invent lemmatize
    log lowercase lookup memoize mention model nest notify operate play point post prefix process pull push
    quantify recalculate recommend record redefine reindex relabel remind restart restore restrict resume
    retrieve revert roll rollup score segment share shade shorten shrink sketch spell spread stem stretch style
    sub substitute suffix surface sync tag tally tile title toggle trace track trigger tune type unnest unscale
    unstack unzip upload upsample widen winsorize yield verify view visualise visualize walk want weight work
    wrap write zip zoom
""")
"""Verbs that open a request. Some are names of builtins or of methods as well; alone they prove nothing."""

NOUNS = _words("""
    age ages amount amounts area array average bar bars box category categories cell character characters chart
    city code color column columns correlation count country csv customer customers data dataframe dataset date
    dates day days dictionary difference distribution duplicates error excel file files folder frame frequency
    function graph grid group groups header heatmap histogram hour hours image index item items join json key
    keys label labels largest legend length letter letters line lines list lists longest matrix maximum mean
    median minimum month monthly months name names number numbers order orders outliers page percent percentage
    picture pie plot point points price prices product products quarter random range rate ratio record records
    region regression result results revenue row rows sales sample scatter sentence sentences series share shape
    size sizes smallest standard string strings subplots sum summary table tables temperature text title top
    total totals type types unique user users value values variable variables week weeks word words year years
    ascending descending best biggest blue distinct duplicate empty even highest horizontal lowest missing new
    next odd old previous prime red second sorted third vertical worst yearly daily weekly
""")
"""What requests about data speak of. Weak signs: code has variables of these names."""

CHINESE = re.compile(
    "[的把将请吗呢哪谁按求画绘给让帮对从用再先并]|显示|读[取入]|统计|计算|多少|什么|怎[么样]|如何|为何|是否|有没有|找[出到]|筛选|过滤|删除|去[掉除]"
    "|添加|新[建增]|创建|生成|写[一出个入]|打印|列出|检查|比较|合并|拆分|分割|替换|重命名|导[入出]|保存|存[为成到]|排序|分组|平均|最[大小高低多少长短新后]"
    "|总[和数额计]|[前后][一二三四五六七八九十几两0-9]|每[个年月日周天行列]|各[个年月]|改[成为大小]|换成|变成|转[换成为]|撤[销回]|解释|看看|我[想要]|然后|如果"
    "|归一|标准化|加载|打开|下载|修复|重[新做画]|[一二三四五六七八九十几两]个|[のをはが]"
)
"""Verbs of request and function words of Chinese; the last class is Japanese."""

SENTENCE_MARKS = frozenset("，。？！、；：“”‘’《》（）…")
"""Punctuation of Chinese and of typeset text: no operator of Python."""
